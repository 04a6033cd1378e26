/** The runbooks of docs/operations.md, run as they stand there: after each of them Echo has what it says. */
import { access, cp, mkdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { jwtVerify } from 'jose'
import { expect, test } from 'vitest'
import { parse } from 'yaml'
import { Opened } from '../../lifecycle.ts'
import { issueToken } from '../../messaging/access/tokens.ts'
import { migrate } from '../../migrations/migrate.ts'
import { startReplicatedPostgres } from '../chaos/replicas.ts'
import { createCertificate } from '../support/certificate.ts'
import { runCommand } from '../support/command.ts'
import { databaseUrl, runSql, SERVER_VARIABLE } from '../support/database.ts'
import { scratchFolder } from '../support/echo-process.ts'
import { restClient } from '../support/rest.ts'
import { makeNewerVersion, NOW, prepareHost, thisVersion, type Host } from '../support/runbook.ts'
import { until } from '../support/until.ts'

const SECRET = 'the secret that every runbook signs with'
const has = (path: string): Promise<boolean> => access(path).then(() => true, () => false)

interface Chat {
  say (content: string, attachmentIds?: string[]): Promise<void>
  upload (text: string): Promise<string>
  download (id: string): Promise<string>
  contents (): Promise<string[]>
  epoch (): Promise<string>
}

/** Two users who talk, from the first start on. */
async function openChat (host: Host, secret: () => Promise<string>): Promise<Chat> {
  await host.systemctl('start')
  const ready = async (): Promise<boolean> =>
    await fetch(new URL('/ready', host.api)).then(({ ok }) => ok, () => false)
  await until(ready, 'Echo is ready').catch(async () => { throw new Error(await host.log()) })
  const token = await issueToken({
    secret: new TextEncoder().encode(await secret()), userId: 'alice', ttlSeconds: 3_600
  })
  const alice = restClient(host.api, token)
  // A busy machine may answer 503 at first.
  const answered = (method: string, path: string, body?: object): Promise<any> => until(async () => {
    const answer = await alice(method, path, body)
    return answer.status < 300 && answer.body
  }, `${method} ${path} is answered`)
  const { id } = await answered('POST', '/conversations', { type: 'direct', participant_ids: ['bob'] })
  const authorization = `Bearer ${token}`
  return {
    async say (content, attachmentIds = []) {
      await answered('POST', '/messages', {
        conversation_id: id,
        content,
        message_type: 'text',
        attachment_ids: attachmentIds,
        client_message_id: content
      })
    },
    async upload (text) {
      const body = new FormData()
      body.append('file', new Blob([text], { type: 'text/plain' }), 'note.txt')
      const form = { method: 'POST', headers: { authorization }, body }
      const answer = await fetch(`${host.api}/attachments`, form)
      return ((await answer.json()) as { id: string }).id
    },
    download: async id =>
      await (await fetch(`${host.api}/attachments/${id}`, { headers: { authorization } })).text(),
    async contents () {
      const page = await answered('GET', `/conversations/${id}/messages`)
      return page.messages.map((message: { content: string }) => message.content).reverse()
    },
    epoch: async () => (await answered('GET', '/conversations')).inbox.epoch
  }
}

test('the embedded database is backed up, restored, and moved to a PostgreSQL of its own', async () => {
  await using opened = new Opened()
  const folder = await opened.add(scratchFolder())
  const host = await opened.add(prepareHost(folder.path))
  const secret = async (): Promise<string> =>
    (await readFile(join(host.dataDir, 'jwt-secret'), 'utf8')).trim()
  const chat = await openChat(host, secret)
  const file = await chat.upload('a note')
  await chat.say('one', [file])
  const first = await chat.epoch()

  await host.run('Back up the embedded database')
  await chat.say('two')
  await host.run('Restore the embedded database')
  expect(await chat.contents()).toEqual(['one'])
  expect(await chat.download(file)).toBe('a note')
  const restored = await chat.epoch()
  expect(restored).not.toBe(first)

  await chat.say('three')
  const name = `echo_moved_${process.pid}`
  const server = process.env[SERVER_VARIABLE]!
  await runSql(server, `create database ${name}`)
  try {
    await host.run('Move to a PostgreSQL of your own', {
      [NOW]: 'moving',
      'postgres://echo:password@db.example.com:5432/echo': `'${databaseUrl(server, name)}'`
    })
    await chat.say('four')
    expect(await chat.contents()).toEqual(['one', 'three', 'four'])
    expect(await chat.download(file)).toBe('a note')
    expect(await chat.epoch()).toBe(restored)
    expect(await readFile(join(host.etc, 'env'), 'utf8')).toMatch(/^DATABASE_URL=.*\nJWT_SECRET=/m)
    await host.systemctl('stop')
  } finally {
    await runSql(server, `drop database ${name} with (force)`)
  }
})

const debian = await has('/usr/lib/postgresql/15/bin/pg_dump')

test.skipIf(!debian)('an upgrade that migrated a PostgreSQL is taken back by restoring what pg_dump had backed up', async () => {
  await using opened = new Opened()
  const folder = await opened.add(scratchFolder())
  const postgresFolder = join(folder.path, 'postgres')
  await mkdir(postgresFolder, { mode: 0o700 })
  const postgres = await opened.add(startReplicatedPostgres(postgresFolder))
  await migrate(postgres.url)
  const settings = { DATABASE_URL: postgres.url, JWT_SECRET: SECRET }
  const host = await opened.add(prepareHost(folder.path, settings))
  const chat = await openChat(host, async () => SECRET)
  await chat.say('one')
  const first = await chat.epoch()
  await host.run('Back up a PostgreSQL of your own')

  host.install(await makeNewerVersion(join(folder.path, 'newer')))
  await host.run('Upgrade')
  await chat.say('two')
  expect(await chat.contents()).toEqual(['one', 'two'])
  expect(await chat.epoch()).toBe(first)

  host.install(thisVersion())
  await expect(host.run('Go back to the version before', { '--retry 60': '--retry 2' })).rejects.toThrow()
  await until(async () => /the schema of the database is newer/.test(await host.log()), 'the log says why')
  await host.run('Restore a PostgreSQL of your own', {
    'postgres://postgres:password@db.example.com:5432/postgres': `'${databaseUrl(postgres.url, 'postgres')}'`
  })
  expect(await chat.contents()).toEqual(['one'])
  expect(await chat.epoch()).not.toBe(first)
  await host.systemctl('stop')
})

test('Echo speaks TLS with a certificate, to HTTP and to MQTT', async () => {
  await using opened = new Opened()
  const folder = await opened.add(scratchFolder())
  const host = await opened.add(prepareHost(folder.path))
  const { files } = await opened.add(createCertificate())
  await mkdir(join(host.etc, 'tls'))
  await cp(files.cert, join(host.etc, 'tls/fullchain.pem'))
  await cp(files.key, join(host.etc, 'tls/privkey.pem'))
  await host.systemctl('start')
  const output = await host.run('TLS', {}, { CURL_CA_BUNDLE: files.cert, SSL_CERT_FILE: files.cert })
  expect(output).toContain('"ready":true')
  expect(output).toMatch(/Verification: OK/)
})

test('what the document asks a container for is in it, and issues tokens with its secret', async () => {
  await using folder = await scratchFolder()
  const document = await readFile('docs/operations.md', 'utf8')
  const { services } = parse(await readFile('docker-compose.yml', 'utf8'), { merge: true })
  const commands = [...document.matchAll(/^docker compose exec (\S+) node dist\/(\w+)\.js (.*)$/gm)]
  expect(commands).toHaveLength(2)
  const named = [...document.matchAll(/docker compose (?:exec|run)(?: --\w+)* ([\w-]+)/g)].map(([, name]) => name)
  expect([...new Set(named)].filter(name => services[name!] === undefined)).toEqual([])
  expect(named).toContain('migrate')
  for (const [, service, command, args] of commands) {
    expect(command).toBe('token')
    const env = { ...services[service!].environment, JWT_SECRET: SECRET }
    const given = args!.split(' ')
    const { output } = await runCommand('token', { folder: folder.path, args: given, env })
    const { payload } = await jwtVerify(output.trim(), new TextEncoder().encode(SECRET))
    expect(payload.sub).toBe(given[0])
  }
})
