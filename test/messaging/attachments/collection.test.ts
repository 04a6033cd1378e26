/**
 * Collecting files while others send them, delete them and collect them too, with a store that is
 * slow or refuses.
 */
import { sql } from 'drizzle-orm'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { unavailable } from '../../../core/errors.ts'
import { until } from '../../support/until.ts'
import { direct, send, startTestApi, type Caller, type TestApi } from '../../api/api.ts'
import { download, filesOf, upload } from '../../api/attachments/uploads.ts'

let api: TestApi
let alice: Caller
let bob: Caller
let remove: (id: string, really: () => Promise<void>) => Promise<void>

beforeAll(async () => {
  api = await startTestApi({
    wrapFiles: files => ({ ...files, remove: id => remove(id, () => files.remove(id)) })
  })
})
afterAll(() => api[Symbol.asyncDispose]())
beforeEach(async () => {
  remove = (_id, really) => really()
  ;[alice, bob] = await Promise.all([api.user('alice'), api.user('bob')])
})

const run = (statement: ReturnType<typeof sql>) => api.messaging.database.autocommit.orm.execute(statement)
/** What would be tomorrow: an upload that was not sent is released. Others stay as they are. */
const expire = (ids: string[]) => run(sql`
  update attachments
     set released_at = clock_timestamp() - interval '1 second'
   where id = any(${sql.param(ids)}::uuid[]) and released_at is not null`)
const stored = async (
  ids: string[]
): Promise<string[]> => { const names = new Set(await filesOf(api)); return ids.filter(id => names.has(id)) }

async function uploadMany (count: number): Promise<string[]> {
  const ids: string[] = []
  while (ids.length < count) ids.push((await upload(alice, `file ${ids.length}`)).body.id)
  return ids
}

test('what a message carries has its file, and what none carries has none, whatever is sent, deleted and collected at once', async () => {
  const conversations = [await direct(alice, bob), await direct(alice, await api.user('carol'))]
  const ids = await uploadMany(40)
  const messages = new Map<string, string>() // the message, and what it carries
  const done = new AbortController()
  // The file is gone for a while before its row is.
  remove = async (_id, really) => { await really(); await new Promise(resolve => setTimeout(resolve, 20)) }

  const collectors =
    [1, 2, 3].map(async () => { while (!done.signal.aborted) await api.attachments.collect() })
  const each = async (work: (
    id: string, n: number
  ) => Promise<unknown>): Promise<void> => { for (const [n, id] of ids.entries()) await work(id, n) }
  const sender = (conversation: string) => each(async (id, n) => {
    if (n % 5 === 2) {
      await expire([id])
      await until(async () =>
        (await stored([id])).length === 0 || [...messages.values()].includes(id), 'it went, or is carried')
    }
    const { status, body } = await send(alice, conversation, `take ${n}`, { attachment_ids: [id] })
    if (status === 201) messages.set(body.id, id)
    else expect([status, body.code]).toEqual([400, 'unknown_attachment'])
    if (status === 201 && n % 3 === 0 && (await alice.delete(`/messages/${body.id}`)).status < 300) {
      messages.delete(body.id)
    }
  })
  await Promise.all([
    ...conversations.map(sender), each(async (id, n) => { if (n % 4 === 1) await expire([id]) })
  ])
  await expire(ids)
  await api.attachments.collect()
  done.abort()
  await Promise.all(collectors)

  const carried = new Set(messages.values())
  expect(carried.size).toBeGreaterThan(10)
  expect(carried.size).toBeLessThan(ids.length)
  await until(
    async () => { await api.attachments.collect(); return (await stored(ids)).length <= carried.size },
    'the rest went'
  )
  expect(new Set(await stored(ids))).toEqual(carried)
  for (const id of carried) expect((await download(api, alice, id)).status).toBe(200)
})

test('files that cannot be removed hold up no others, and go when they can be', async () => {
  const ids = await uploadMany(75)
  const bad = new Set(ids.slice(0, 60)) // more than a batch, released first
  remove = (id, really) => bad.has(id) ? Promise.reject(unavailable('the disk refuses')) : really()
  await expire([...bad])
  await run(
    sql`update attachments set released_at = released_at - interval '1 second' where released_at < now()`
  ) // these are first
  await expire(ids.slice(60))
  await expect(api.attachments.collect()).rejects.toThrow('the disk refuses')
  await expect(api.attachments.collect()).rejects.toThrow('the disk refuses')
  expect(new Set(await stored(ids))).toEqual(bad)
  remove = (_id, really) => really()
  await api.attachments.collect()
  expect(await stored(ids)).toEqual([])
  expect(await api.attachments.collect()).toBe(0)
})

test('a store that removes slowly keeps neither a connection to the database nor another collector waiting', async () => {
  const ids = await uploadMany(3)
  await expire(ids)
  let removals = 0
  let goOn = (): void => {}
  const slow = new Promise<void>(resolve => { goOn = resolve })
  remove = async (_id, really) => { removals++; await slow; await really() }
  const collecting = api.attachments.collect()
  await until(() => removals === ids.length, 'the store was asked')
  const { rows: [open] } = await run(sql`
    select count(*)::int as transactions
      from pg_stat_activity
     where datname = current_database() and state like 'idle in transaction%'`)
  expect(open).toEqual({ transactions: 0 })

  remove = (_id, really) => really()
  const later = await uploadMany(2)
  await expire(later)
  await until(
    async () => { await api.attachments.collect(); return (await stored(later)).length === 0 },
    'the others went'
  )
  goOn()
  await collecting
  expect(await stored(ids)).toEqual([])
})
