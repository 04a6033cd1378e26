/**
 * `npm run bench:push [-- --users 10000]`: a bridge finds so many users due at
 * its start and drains them to a stand-in for FCM in this process, on 127.0.0.1.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import pg from 'pg'
import pino from 'pino'
import { migrate } from '../migrations/migrate.ts'
import { startEmbeddedPostgres } from '../store/embedded-postgres/start.ts'
import { startFakeFcm } from '../tools/fake-fcm/server.ts'
import { residentBytes } from './process-times.ts'

const SAMPLE_MS = 1_000
const GIVE_UP_MS = 120_000

const { values } = parseArgs({ options: { users: { type: 'string', default: '10000' } } })
const users = Number(values.users)
const dataDir = await mkdtemp(join(tmpdir(), 'echo-bench-push-'))
const postgres = await startEmbeddedPostgres({ dataDir, log: pino({ level: 'silent' }) })
await migrate(postgres.url)
await seed(postgres.url)

let first: number | undefined
let last = 0
let taken = 0
const told = new Set<string>()
await using fcm =
  await startFakeFcm({ onPush: ({ at, token }) => { first ??= at; last = at; taken++; told.add(token) } })
const echo = spawn(process.execPath, ['--max-semi-space-size=64', 'start.js'], {
  stdio: ['ignore', 'ignore', 'inherit'],
  env: {
    ...process.env,
    DATABASE_URL: postgres.url,
    JWT_SECRET: 'a secret for benchmarks, nothing else',
    FCM_ENDPOINT: fcm.url,
    PUSH_GRACE_MS: '0',
    HTTP_PORT: '0',
    MQTT_PORT: '0',
    WS_PORT: '0',
    GRPC_PORT: '0',
    LOG_LEVEL: 'error'
  }
})
const samples: Array<{ seconds: string, pushes: number, 'RSS MB': number }> = []
const began = Date.now()
while (told.size < users && Date.now() - began < GIVE_UP_MS) {
  await new Promise(resolve => setTimeout(resolve, first === undefined ? 20 : SAMPLE_MS))
  if (first !== undefined) {
    samples.push({
      seconds: ((Date.now() - first) / 1_000).toFixed(1),
      pushes: taken,
      'RSS MB': Math.round(await residentBytes(echo.pid!) / 1e6)
    })
  }
}
const elapsed = (last - first!) / 1_000
console.table(samples)
console.log(
  `${told.size} of ${users} users told, ${taken} pushes in ${elapsed.toFixed(1)} s: ` +
  `${Math.round(taken / elapsed)} a second`
)
echo.kill('SIGTERM')
await once(echo, 'exit')
await postgres[Symbol.asyncDispose]()
await rm(dataDir, { recursive: true, force: true })

/** Each user has a phone, and one unread message of a conversation of their own with one sender. */
async function seed (url: string): Promise<void> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  await client.query('insert into users (id, name) values (\'sender\', \'Sender\')')
  await client.query(
    'insert into users (id, inbox_seq) select \'user-\' || n, 1 from generate_series(1, $1::int) as n',
    [users]
  )
  await client.query(
    `insert into devices (user_id, device_id, platform, push_token)
     select id, 'phone', 'android', id from users where id <> 'sender'`
  )
  await client.query(
    `create temporary table pairs as
     select id as user_id, gen_random_uuid() as conversation_id, gen_random_uuid() as message_id
       from users where id <> 'sender'`
  )
  await client.query(
    `insert into conversations (id, type, last_seq, last_activity_at)
     select conversation_id, 'direct', 1, now() from pairs`
  )
  await client.query(`insert into conversation_participants (conversation_id, user_id, joined_at, joined_seq)
                      select conversation_id, member, now(), 0
                        from pairs, lateral (values (user_id), ('sender')) as m (member)`)
  await client.query(`insert into messages (id, conversation_id, seq, sender_user_id, content, message_type,
                                            created_at)
                      select message_id, conversation_id, 1, 'sender', 'Are you coming tonight?', 'text',
                             now()
                        from pairs`)
  await client.query(`insert into inbox_events (user_id, seq, type, conversation_id, message_id, created_at)
                      select user_id, 1, 'new_message', conversation_id, message_id, now() from pairs`)
  await client.query('analyze')
  await client.end()
}
