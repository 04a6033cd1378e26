/** A database that lost its newest commits is noticed by itself: a new epoch begins, and nothing hangs. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { migrate } from '../../migrations/migrate.ts'
import { Opened } from '../../lifecycle.ts'
import { startReplicatedPostgres, type ReplicatedPostgres } from '../chaos/replicas.ts'
import { scratchFolder, startEcho, token, type EchoProcess } from '../support/echo-process.ts'
import { connectPhone, type InboxEvent } from '../support/phone.ts'
import { restClient, type RestClient } from '../support/rest.ts'
import { until } from '../support/until.ts'

const opened = new Opened()
let postgres: ReplicatedPostgres
let echo: EchoProcess
let alice: RestClient
let conversation: string

beforeAll(async () => {
  const folder = await opened.add(scratchFolder())
  postgres = await opened.add(startReplicatedPostgres(folder.path))
  await migrate(postgres.url)
  echo = await opened.add(startEcho({ dataDir: folder.path, env: { DATABASE_URL: postgres.url } }))
  alice = restClient(echo.api, await token('alice'))
  conversation = (await alice('POST', '/conversations', { type: 'direct', participant_ids: ['bob'] })).body.id
})
afterAll(async () => { await opened[Symbol.asyncDispose]() })

const send = async (content: string): Promise<number> => (await alice('POST', '/messages', {
  conversation_id: conversation, content, message_type: 'text', client_message_id: content
})).status
const epochOf = async (user: RestClient): Promise<string> =>
  (await user('GET', '/conversations')).body.inbox.epoch

test('after a failover that lost commits devices are told to resync, and get what comes then', async () => {
  const bobToken = await token('bob')
  const bob = restClient(echo.api, bobToken)
  const heard: InboxEvent[] = []
  const connect = (deviceId: string, subscribe?: string[]) =>
    connectPhone({ userId: 'bob', deviceId, token: bobToken, port: echo.mqttPort, subscribe })
  const phone = await connect('phone')
  let closed = false
  phone.client.on('close', () => { closed = true })
  expect(await send('kept')).toBe(201)
  await until(() => phone.events.length === 2, 'it came')
  const before = await epochOf(bob)

  await postgres.holdReplica()
  for (const lost of ['lost 1', 'lost 2', 'lost 3']) expect(await send(lost)).toBe(201)
  await until(() => phone.events.length === 5, 'they came')
  await until(async () => (await postgres.sql(
    "select 1 from devices where device_id = 'phone' and acked_seq = 5")).rowCount === 1, 'and are acknowledged')
  await postgres.failOver()

  await until(() => closed, 'the device is disconnected')
  const after = await until(async () => {
    const epoch = await epochOf(bob).catch(() => before)
    return epoch === before ? undefined : epoch
  }, 'a new epoch has begun')
  expect(echo.output()).toContain('a new epoch begins')
  // Numbers that were given out before.
  await until(async () => await send('new 1') < 300, 'a send is stored')
  await using again = await connect('phone', [])
  await until(() => again.events.some(event => event.type === 'new_message'), 'it gets what is new')
  heard.push(...again.events)
  expect(new Set(heard.map(event => event.epoch))).toEqual(new Set([after]))
  expect(heard.map(event => event.type)).toContain('resync_required')
  // Its cursor may be among what was lost: then it gets again what it has.
  expect(heard.filter(event => event.type === 'new_message').map(event => event.message.content)
    .filter(content => content !== 'kept')).toEqual(['new 1'])
  const { body } = await bob('GET', `/conversations/${conversation}/messages`)
  expect(body.messages.map((message: { content: string }) => message.content)).toEqual(['new 1', 'kept'])
  // Who reads the log by HTTP is told as well, and does not wait for numbers that have been.
  const { inbox } = (await bob('GET', '/conversations')).body
  expect((await bob('GET', `/inbox?after=${inbox.last_seq + 1}&wait=30`)).status).toBe(410)
  // Once only.
  await again.client.endAsync()
  await using third = await connect('phone', [])
  expect(await send('new 2')).toBe(201)
  await until(() => third.events.some(event => event.message?.content === 'new 2'), 'it came')
  expect(third.events.filter(event => event.type === 'resync_required')).toEqual([])
})

test('a failover that lost nothing begins no epoch and disconnects nobody', async () => {
  await postgres.addReplica()
  const carol = await token('carol')
  const before = await epochOf(alice)
  await using phone =
    await connectPhone({ userId: 'carol', deviceId: 'p', token: carol, port: echo.mqttPort })
  let closed = false
  phone.client.on('close', () => { closed = true })
  expect(await send('everywhere')).toBe(201)
  await until(async () => (await postgres.sql(
    'select 1 from pg_stat_replication where replay_lsn >= pg_current_wal_lsn()')).rowCount === 1,
  'the replica has it')
  await postgres.failOver()
  await until(async () => await send('afterwards') < 300, 'a send is stored')
  await until(
    () => echo.output().includes('another database server answers'), 'it has been looked at'
  )
  expect(await epochOf(alice)).toBe(before)
  expect(closed).toBe(false)
})
