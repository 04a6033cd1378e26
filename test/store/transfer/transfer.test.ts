/** A database goes through an export into another one: all of it, or nothing. */
import { createWriteStream } from 'node:fs'
import { readFile, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { createGzip, gunzipSync } from 'node:zlib'
import pg from 'pg'
import { expect, test } from 'vitest'
import { exportDatabase } from '../../../store/transfer/export.ts'
import { importDatabase, refuseUsers } from '../../../store/transfer/import.ts'
import { fileOf, readManifest } from '../../../store/transfer/manifest.ts'
import { createDatabase, runSql } from '../../support/database.ts'
import { scratchFolder } from '../../support/echo-process.ts'

const WORDS = 'tab\t, line\n, back\\slash, \\N, “quotes” and 👋'

/** Rows in tables that refer to each other, of every kind of column. */
const FILL = `
  insert into users (id, name)
    select 'user-' || n, E'${WORDS.replaceAll('\\', '\\\\')}' from generate_series(1, 500) n;
  insert into conversations (id, type, title, last_activity_at)
    select md5(n::text)::uuid, 'group', null, '2026-01-02 03:04:05.678901+02' from generate_series(1, 50) n;
  insert into conversation_participants (conversation_id, user_id, joined_at, joined_seq)
    select md5(c::text)::uuid, 'user-' || u, now(), 0 from generate_series(1, 50) c, generate_series(1, 20) u;
  insert into messages (id, conversation_id, seq, sender_user_id, content, message_type, mentions, created_at)
    select gen_random_uuid(), md5(c::text)::uuid, s, 'user-1', repeat('x', s), 'text',
           '[{"user_id": "user-2", "offset": 0, "length": 1}]', now()
      from generate_series(1, 50) c, generate_series(1, 40) s;
  insert into drafts (user_id, conversation_id, content, updated_at)
    select 'user-1', md5(c::text)::uuid, E'${WORDS.replaceAll('\\', '\\\\')}', now()
      from generate_series(1, 50) c;
  insert into devices (user_id, device_id, subscriptions) values ('user-1', 'phone', '[]');
  select nextval('device_leases') from generate_series(1, 41);`

async function rowsOf (url: string): Promise<Record<string, unknown>> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    const all: Record<string, unknown> = {}
    for (const name of [
      'users', 'conversations', 'conversation_participants', 'drafts', 'messages', 'devices'
    ]) {
      const { rows } = await client.query(
        `select count(*)::int, md5(string_agg(t::text, '' order by t::text)) from ${name} t`
      )
      all[name] = rows[0]
    }
    all.lease = (await client.query("select nextval('device_leases')")).rows[0]
    all.meta = (await client.query('select epoch, epoch_since is null as first from meta')).rows[0]
    return all
  } finally {
    await client.end()
  }
}

test('an import has every row and sequence of the export, and a new epoch unless it keeps the old one', async () => {
  await using folder = await scratchFolder()
  await using source = await createDatabase()
  await runSql(source.url, FILL)
  const to = join(folder.path, 'export')
  const { rows } = await exportDatabase(source.url, to)
  const { meta, lease, ...original } = await rowsOf(source.url)
  expect(rows).toBeGreaterThan(3_500)
  expect((await stat(fileOf(to, 'messages'))).mode & 0o777).toBe(0o600)
  expect(gunzipSync(await readFile(fileOf(to, 'messages'))).toString().split('\n')).toHaveLength(2_001)

  for (const keepEpoch of [false, true]) {
    await using target = await createDatabase()
    // A process that ran on it for a while is none that was used.
    await runSql(target.url, "insert into expiry_progress (job) values ('inbox')")
    await refuseUsers(target.url)
    expect((await importDatabase(target.url, to, { keepEpoch })).rows).toBe(rows)
    const { meta: epoch, lease: next, ...copy } = await rowsOf(target.url)
    expect(copy).toEqual(original)
    expect(next).toEqual(lease)
    if (keepEpoch) expect(epoch).toEqual(meta)
    else expect(epoch).not.toEqual(meta)
  }
})

test('an export is of one moment, whatever is written meanwhile', async () => {
  await using folder = await scratchFolder()
  await using source = await createDatabase()
  await runSql(source.url, FILL)
  const exported = new AbortController()
  const writer = (async () => {
    for (let n = 0; !exported.signal.aborted; n++) {
      await runSql(source.url, `begin;
        insert into users (id) values ('late-${n}');
        insert into devices (user_id, device_id) values ('late-${n}', 'phone'); commit`)
    }
  })()
  await exportDatabase(source.url, folder.path).finally(() => exported.abort())
  await writer
  await using target = await createDatabase()
  await importDatabase(target.url, folder.path, { keepEpoch: false })
  const { tables } = await readManifest(folder.path)
  const count = (table: string): number => tables.find(({ name }) => name === table)!.rows
  expect(count('users') - 500).toBe(count('devices') - 1)
})

test('a database with users is refused, and stays as it is', async () => {
  await using folder = await scratchFolder()
  await using source = await createDatabase()
  await runSql(source.url, FILL)
  await exportDatabase(source.url, folder.path)
  const before = await rowsOf(source.url)
  await expect(refuseUsers(source.url)).rejects.toThrow('the database is not empty (users has rows)')
  await expect(importDatabase(source.url, folder.path, { keepEpoch: false })).rejects.toThrow('is not empty')
  expect({ ...await rowsOf(source.url), lease: before.lease }).toEqual(before)
})

test('an export that is damaged, incomplete or of another version leaves the target empty', async () => {
  await using folder = await scratchFolder()
  await using source = await createDatabase()
  await runSql(source.url, FILL)
  await exportDatabase(source.url, folder.path)
  await using target = await createDatabase()
  const fails = async (why: RegExp | string): Promise<void> => {
    await expect(importDatabase(target.url, folder.path, { keepEpoch: false })).rejects.toThrow(why)
    expect((await rowsOf(target.url)).users).toMatchObject({ count: 0 })
  }
  const messages = await readFile(fileOf(folder.path, 'messages'))
  await writeFile(fileOf(folder.path, 'messages'), messages.subarray(0, messages.length / 2))
  await fails('unexpected end of file')
  const half = gunzipSync(messages).toString().split('\n').slice(0, 1_000).join('\n') + '\n'
  await pipeline([half], createGzip(), createWriteStream(fileOf(folder.path, 'messages')))
  await fails('has 1000 rows, and should have 2000')
  await writeFile(fileOf(folder.path, 'messages'), messages)

  const manifest = join(folder.path, 'manifest.json')
  const text = await readFile(manifest, 'utf8')
  await writeFile(manifest, text.replace(/"schema_version": \d+/, '"schema_version": 1'))
  await fails(/an older version of Echo than this one: import it with the version that exported it/)
  await rm(manifest)
  await fails('it has no manifest.json')
})

test('an export does not mix with what is in a folder', async () => {
  await using folder = await scratchFolder()
  await using source = await createDatabase()
  await writeFile(join(folder.path, 'note'), '')
  await expect(exportDatabase(source.url, folder.path)).rejects.toThrow('export to a new folder')
})
