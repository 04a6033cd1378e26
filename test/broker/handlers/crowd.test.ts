/** Devices that connect at the same time: they are opened in sets, and each one as if it were alone. */
import pg from 'pg'
import { expect, test, vi } from 'vitest'
import { MAX_SET } from '../../../messaging/set-queue.ts'
import { type Messaging } from '../../../messaging/start.ts'
import {
  connectPacket, pubackPacket, startTestBroker, subscribePacket, type RawClient, type TestBroker
} from '../../support/broker.ts'
import { NO_SWEEP } from '../../support/cluster.ts'
import { SERVER_VARIABLE, databaseUrl } from '../../support/database.ts'
import { until } from '../../support/until.ts'

type Rows = TestBroker['messaging']['database']['opening']['rows']

/** Sends CONNECT, and does not wait for the CONNACK. */
async function connecting (broker: TestBroker, userId: string, clientId = 'phone'): Promise<RawClient> {
  const client = broker.raw()
  client.packet(connectPacket({ clientId, clean: false, password: await broker.token(userId) }))
  return client
}

const codes = (clients: RawClient[]): Array<number | undefined> =>
  clients.map(client => client.of('connack')[0]?.returnCode)

/** Stores a session of each user, with one subscription. */
async function storeSessions (broker: TestBroker, userIds: string[], topic = 'inbox'): Promise<void> {
  await Promise.all(userIds.map(async userId => {
    const client = await connecting(broker, userId)
    await client.nth('connack', 1)
    client.packet(subscribePacket(1, `user/${userId}/${topic}`))
    await client.nth('suback', 1)
    client[Symbol.dispose]()
  }))
  await until(() => broker.counts().connections === 0, 'all have left')
}

/** Runs `then` between the answer of each such statement and the broker. Returns how many there were. */
function afterStatement (broker: TestBroker, name: string, then: () => Promise<unknown>): () => number {
  const { opening } = broker.messaging.database
  const rows = opening.rows.bind(opening) as Rows
  let n = 0
  vi.spyOn(opening, 'rows').mockImplementation(async (statement, values) => {
    const answer = await rows(statement, values)
    if (statement.name === name) {
      n++
      await then()
    }
    return answer as never
  })
  return () => n
}

/** Calls `asked` for each device whose CONNECT has come as far as the set. */
const countOpenings = ({ openings }: Messaging, asked: (userId: string) => void): Partial<Messaging> => ({
  openings: {
    ...openings,
    open (device, wanted) {
      asked(device.userId)
      return openings.open(device, wanted)
    }
  }
})

/** Keeps the row of a stored device locked, so that the set it is in waits for the database. */
async function lockDevice (broker: TestBroker, userId: string): Promise<{ release: () => Promise<void> }> {
  const [database] = await broker.sql<{ name: string }>('select current_database() as name')
  const server = process.env[SERVER_VARIABLE]!
  const client = new pg.Client({ connectionString: databaseUrl(server, database!.name) })
  await client.connect()
  await client.query('begin')
  await client.query('select from devices where user_id = $1 for update', [userId])
  return { release: async () => { await client.end() } }
}

const waitingForLock = async (broker: TestBroker): Promise<number[]> => (await broker.sql<{ pid: number }>(
  'select pid from pg_stat_activity where datname = current_database() and wait_event_type = \'Lock\''
)).map(({ pid }) => pid)

test('2,000 devices that connect at once all get CONNACK 0, in a few statements', async () => {
  const n = 2_000
  let asked = 0
  await using broker = await startTestBroker({
    replace: messaging => countOpenings(messaging, () => { asked++ })
  })
  // Those of the first set wait for the last to come.
  const opens = afterStatement(broker, 'devices_open', async () => {
    await until(() => asked === n, 'all have sent their CONNECT')
  })
  const clients = await Promise.all(Array.from({ length: n }, (_, i) => connecting(broker, `user-${i}`)))
  await until(() => codes(clients).every(code => code !== undefined), 'all have their CONNACK')
  expect(new Set(codes(clients))).toEqual(new Set([0]))
  expect(opens()).toBeLessThanOrEqual(1 + n / MAX_SET)
})

// Without older events, which would bring what follows them.
test('an event between CONNECT and the start of delivery arrives at once and once', async () => {
  await using broker = await startTestBroker(NO_SWEEP)
  await storeSessions(broker, ['ann'])
  afterStatement(broker, 'devices_open', () => broker.direct('bob', 'ann'))
  const ann = await connecting(broker, 'ann')
  expect((await ann.nth('connack', 1)).sessionPresent).toBe(true)
  await until(() => ann.of('publish').length === 1, 'it came by its wake')
  await broker.say('bob', await broker.direct('bob', 'ann'), 'the next')
  await until(() => ann.of('publish').length > 1, 'the next came')
  expect(ann.of('publish').map(({ payload }) => JSON.parse(payload.toString()).seq)).toEqual([1, 2])
})

test('what is only for the moment does not come before the CONNACK', async () => {
  const payload = (text: string): Buffer => Buffer.from(JSON.stringify(text))
  await using broker = await startTestBroker({
    replace: ({ connections, wakes }) => ({
      connections: {
        ...connections,
        // Called when a connection is decided and its CONNACK not written.
        add (connection) {
          const end = connections.add(connection)
          wakes.live([connection.userId], payload('too early'))
          return end
        }
      }
    })
  })
  await storeSessions(broker, ['ann'], 'live')
  const ann = await connecting(broker, 'ann')
  expect((await ann.nth('connack', 1)).sessionPresent).toBe(true)
  await until(() => {
    broker.messaging.wakes.live(['ann'], payload('later'))
    return ann.of('publish').some(packet => packet.payload.toString() === '"later"')
  }, 'what is told later comes')
  expect(ann.received[0]!.cmd).toBe('connack')
})

test('an event between SUBSCRIBE and the start of delivery arrives at once and once', async () => {
  await using broker = await startTestBroker(NO_SWEEP)
  afterStatement(broker, 'devices_save', () => broker.direct('bob', 'ann'))
  const ann = await connecting(broker, 'ann')
  ann.packet(subscribePacket(1, 'user/ann/inbox'))
  await until(() => ann.of('publish').length === 1, 'it came by its wake')
  await broker.say('bob', await broker.direct('bob', 'ann'), 'the next')
  await until(() => ann.of('publish').length > 1, 'the next came')
  expect(ann.of('publish').map(({ payload }) => JSON.parse(payload.toString()).seq)).toEqual([1, 2])
})

test('of two connections of one device at once the later one stays, and its lease counts', async () => {
  let asked = 0
  await using broker = await startTestBroker({
    replace: messaging => countOpenings(messaging, () => { asked++ })
  })
  const conversation = await broker.direct('bob', 'ann')
  await storeSessions(broker, ['ann', 'zoe'])
  const lock = await lockDevice(broker, 'zoe')
  const zoe = await connecting(broker, 'zoe') // its set waits, and both of ann's are behind it
  await until(async () => (await waitingForLock(broker)).length === 1, 'a set waits')
  asked = 0
  const older = await connecting(broker, 'ann')
  await until(() => asked === 1, 'the first waits')
  const later = await connecting(broker, 'ann')
  await until(() => asked === 2, 'the second waits')
  await lock.release()
  await until(() => older.closed && codes([later, zoe]).every(code => code === 0), 'they are decided')
  expect(broker.counts().devices).toBe(2)

  await broker.say('bob', conversation, 'hello')
  const { messageId } = await later.nth('publish', 2)
  later.packet(pubackPacket((await later.nth('publish', 1)).messageId!))
  later.packet(pubackPacket(messageId!))
  await until(async () => (await broker.sql(
    'select acked_seq::int as seq from devices where user_id = $1', 'ann'
  ))[0]!.seq === 2, 'its acknowledgement counts')
  expect(later.closed).toBe(false)
})

test('when its connection breaks a set is asked for again, and those behind it are opened', async () => {
  await using broker = await startTestBroker()
  const users = Array.from({ length: 20 }, (_, i) => `user-${i}`)
  await storeSessions(broker, users)
  const lock = await lockDevice(broker, 'user-9')
  const inSet = await Promise.all(users.slice(0, 10).map(userId => connecting(broker, userId)))
  const pid = await until(async () => (await waitingForLock(broker))[0], 'a set waits')
  const behind = await Promise.all(users.slice(10).map(userId => connecting(broker, userId)))
  await broker.sql('select pg_terminate_backend($1)', pid)
  await lock.release()
  const all = [...inSet, ...behind]
  await until(() => codes(all).every(code => code !== undefined), 'all are decided')
  expect(codes(all)).toEqual(all.map(() => 0))
})

test('a device that the database refuses is closed alone, without an answer', async () => {
  await using broker = await startTestBroker()
  const users = Array.from({ length: 30 }, (_, i) => `user-${i}`)
  await storeSessions(broker, users)
  await broker.sql(`create function refuse () returns trigger language plpgsql as $$
    begin raise exception 'this device is refused'; end $$`)
  await broker.sql(`create trigger refuse before update on devices
    for each row when (new.user_id = 'user-7') execute function refuse()`)
  const lock = await lockDevice(broker, 'user-0')
  const first = await connecting(broker, 'user-0')
  await until(async () => (await waitingForLock(broker)).length === 1, 'a set waits')
  const others = await Promise.all(users.slice(1).map(userId => connecting(broker, userId)))
  await lock.release()
  const all = [first, ...others]
  await until(() => all.every((device, i) => device.closed || codes(all)[i] !== undefined), 'all are decided')
  expect(codes(all)).toEqual(users.map(userId => userId === 'user-7' ? undefined : 0))
})

test('a device that waits for its CONNACK for too long is closed, and not opened afterwards', async () => {
  await using broker = await startTestBroker({ broker: { connectTimeoutMs: 1_500 } })
  await storeSessions(broker, ['ann', 'bob'])
  const leaseOf = async (userId: string): Promise<number> =>
    (await broker.sql('select lease::int from devices where user_id = $1', userId))[0]!.lease
  const before = await leaseOf('bob')
  const lock = await lockDevice(broker, 'ann')
  await connecting(broker, 'ann')
  await until(async () => (await waitingForLock(broker)).length === 1, 'a set waits')
  const bob = await connecting(broker, 'bob')
  await until(() => bob.closed, 'it is closed')
  expect(bob.of('connack')).toEqual([])
  await lock.release()
  const carl = await connecting(broker, 'carl')
  expect((await carl.nth('connack', 1)).returnCode).toBe(0)
  expect(await leaseOf('bob')).toBe(before)
})

test('a session that subscribes again to what it has writes nothing', async () => {
  await using broker = await startTestBroker()
  await storeSessions(broker, ['ann'])
  const rows = vi.spyOn(broker.messaging.database.opening, 'rows')
  const ann = await connecting(broker, 'ann')
  ann.packet(subscribePacket(1, 'user/ann/inbox'))
  await ann.nth('suback', 1)
  expect(rows.mock.calls.map(([statement]) => statement.name)).not.toContain('devices_save')
  ann.packet(subscribePacket(2, 'user/ann/live'))
  await ann.nth('suback', 2)
  expect(rows.mock.calls.map(([statement]) => statement.name)).toContain('devices_save')
})
