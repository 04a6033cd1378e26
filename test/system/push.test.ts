/**
 * Pushes by the processes of `npm start`: api, broker and bridge over PostgreSQL and Redis, with a
 * stand-in for FCM.
 */
import { afterAll, beforeAll, expect, test } from 'vitest'
import pg from 'pg'
import { Opened } from '../../lifecycle.ts'
import { startCluster, type TestCluster } from '../support/cluster.ts'
import { token, type EchoProcess } from '../support/echo-process.ts'
import { startFakeFcm, type FakeFcm } from '../../tools/fake-fcm/server.ts'
import { connectPhone } from '../support/phone.ts'
import { program } from '../support/programs.ts'
import { restClient, type RestClient } from '../support/rest.ts'
import { until } from '../support/until.ts'

/** Awake devices acknowledge by then, on a busy machine too. */
const GRACE_MS = 5_000
const opened = new Opened()
let cluster: TestCluster
let fcm: FakeFcm
let api: EchoProcess
let broker: EchoProcess
let bridge: EchoProcess
let sql: pg.Pool

const startBridge = () => cluster.start('push-bridge', { FCM_ENDPOINT: fcm.url, PUSH_GRACE_MS: '0' })
const startBroker = () => cluster.start('broker', { PUSH_GRACE_MS: String(GRACE_MS) })

beforeAll(async () => {
  fcm = await opened.add(startFakeFcm())
  cluster = await opened.add(startCluster(program('impatient')))
  sql = new pg.Pool({ connectionString: cluster.databaseUrl })
  sql.on('error', () => {})
  await opened.add({ async [Symbol.asyncDispose] () { await sql.end() } });
  [api, broker, bridge] = await Promise.all([
    cluster.start('api', { RATE_LIMIT_SENDS: '0', RATE_LIMIT_REQUESTS: '0' }), startBroker(), startBridge()
  ])
})
afterAll(async () => { await opened[Symbol.asyncDispose]() })

const as = async (userId: string): Promise<RestClient> => restClient(api.api, await token(userId))

async function open (creator: string, ...others: string[]): Promise<string> {
  const type = others.length === 1 ? 'direct' : 'group'
  const { status, body } = await (await as(creator))(
    'POST', '/conversations', { type, participant_ids: others, title: type === 'group' ? 'Team' : undefined }
  )
  expect(status).toBe(201)
  return body.id
}

async function say (from: string, conversationId: string): Promise<string> {
  const { status, body } = await (await as(from))(
    'POST', '/messages', { conversation_id: conversationId, content: 'hello', message_type: 'text' }
  )
  expect(status).toBe(201)
  return body.id
}

async function register (userId: string, ...deviceIds: string[]): Promise<void> {
  const rest = await as(userId)
  for (const deviceId of deviceIds) {
    expect((await rest(
      'PUT', `/devices/${deviceId}`, { platform: 'android', push_token: `${userId}-${deviceId}` }
    )).status).toBe(200)
  }
}

const phone = async (userId: string, deviceId: string, paused: boolean) =>
  await connectPhone({ userId, deviceId, token: await token(userId), port: broker.mqttPort, paused })
const tokensTold = (messageId: string): string[] =>
  fcm.pushes.filter(push => push.message.data.message_id === messageId).map(push => push.token).sort()
const nobodyDue = (): Promise<true> =>
  until(async () => (await sql.query('select from push_due')).rowCount === 0, 'no user is due')

test('five devices of which two acknowledge are left alone; behind a half-open socket every registered device is told once, after the grace', async () => {
  await register('five', 'a', 'b', 'c', 'd', 'e')
  await register('half', 'a', 'b', 'c')
  await using one = await phone('five', 'a', false)
  await using two = await phone('five', 'b', false)
  await using silent = await phone('half', 'a', true)
  const group = await open('ann', 'five', 'half')
  const sentAt = Date.now()
  const message = await say('ann', group)
  await until(
    () => one.events.length === 2 && two.events.length === 2 && silent.events.length >= 1, 'all three have it'
  )
  await until(
    () => tokensTold(message).length === 3, 'the devices behind the half-open socket are told'
  )
  await nobodyDue()
  expect(tokensTold(message)).toEqual(['half-a', 'half-b', 'half-c'])
  expect(fcm.pushes.find(push => push.token === 'half-a')!.at - sentAt).toBeGreaterThanOrEqual(GRACE_MS - 100)
})

test('a bridge killed at random moments loses no push, and repeats none that it had written down', async () => {
  const groups: string[] = []
  for (let g = 0; g < 20; g++) {
    groups.push(
      await open('ann', ...Array.from({ length: 100 }, (_, i) => `sleeper-${g}-${i}`))
    )
  }
  await sql.query(`insert into devices (user_id, device_id, platform, push_token)
                   select id, 'phone', 'android', id from users where id like 'sleeper-%'`)
  fcm.react(() => ({ afterMs: 100 }))
  const before = fcm.pushes.length
  const taken = () => fcm.pushes.slice(before)
  const writtenDown = new Map<string, number>()
  for (const group of groups) await say('ann', group)
  for (let kill = 1; kill <= 3; kill++) {
    const begun = taken().length
    await until(() => taken().length > begun + 20, 'the bridge sends')
    await new Promise(resolve => setTimeout(resolve, Math.random() * 300))
    await bridge.kill()
    const { rows } = await sql.query<{ id: string }>(
      'select user_id as id from devices where pushed_at is not null and user_id like $1', ['sleeper-%']
    )
    for (const { id } of rows) if (!writtenDown.has(id)) writtenDown.set(id, taken().length)
    // No process holds them any more: time passes.
    await sql.query('update push_due set leased_until = now() where leased_until is not null')
    bridge = await startBridge()
  }
  await nobodyDue()
  fcm.react(() => undefined)
  expect(new Set(taken().map(push => push.token)).size).toBe(2_000)
  for (const [id, at] of writtenDown) {
    expect(taken().slice(at).some(push => push.token === id), id).toBe(false)
  }
  expect(taken().length - 2_000).toBeLessThanOrEqual(3 * 800)
  for (const push of taken()) expect(Object.keys(push.message.data)).toContain('message_id')
})

test('what a killed broker left unacknowledged is pushed when its lease has run out', async () => {
  await register('kim', 'a', 'b')
  await using silent = await phone('kim', 'a', true)
  const other = await startBroker()
  const message = await say('ann', await open('ann', 'kim'))
  await until(() => silent.events.length >= 1, 'it was sent')
  await broker.kill()
  await until(() => tokensTold(message).length === 2, 'both devices are told')
  await nobodyDue()
  expect(tokensTold(message)).toEqual(['kim-a', 'kim-b'])
  broker = other
})
