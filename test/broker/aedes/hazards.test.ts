/**
 * What a plain Aedes does wrong under Echo's load, and which test would fail on it.
 *
 * - a packet behind one with a higher counter is dropped
 *     here
 * - one frozen QoS 0 observer stops everything
 *     here
 *     `slow`: a frozen observer, a frozen subscriber
 * - the `ack` event knows no packet of clean sessions
 *     here
 *     `inbox`: a clean session starts where …
 * - packets of stored sessions keep their identifiers
 *     `publish`: granted messages and inbox events never share …, new messages do not take …
 * - of several PUBRELs one takes the identifier of another
 *     `publish`: QoS 2 messages that a stored session receives …
 * - session present, but the subscription is gone
 *     `inbox`: PUBACK moves the cursor, and a restored session …
 * - PUBACK comes before the work is done
 *     `commands`: a message is in the database when its PUBACK comes, a command that cannot be decided …
 * - PUBACKs overtake each other
 *     `commands`: PUBACKs keep the order of the commands
 * - a command is forwarded and retained, with a token in it
 *     `publish`: a command reaches no subscriber and is never retained
 * - a refused filter beside an allowed one is stored and served
 *     `subscribe`: a refused filter beside an allowed one …
 *     `limits`: a subscription beyond the limit …
 * - SUBSCRIBEs at the same time lose one
 *     `subscribe`: SUBSCRIBEs sent without waiting …, sent together with CONNECT …
 * - a message comes once for each filter, wildcards ignore the QoS, a publisher's DUP is passed on
 *     `delivery`: in conformance/
 * - packets of one segment overtake each other
 *     `delivery`: a retained PUBLISH and a SUBSCRIBE in one segment …
 *     `filters`: filters beyond the rate wait, in order …
 * - a SUBACK has no code for a repeated filter
 *     `packets`: SUBACK has a code for every filter …
 * - a session without subscriptions is not present
 *     `sessions`: the session … without subscriptions is present …
 * - client ids are global
 *     `connect`: the same client id under another user …
 * - an empty client id with a stored session
 *     `connect`: a client id is needed for a stored session …
 * - a client id of MQTT 3.1 longer than 23
 *     `limits`: a client of MQTT 3.1 is served
 * - wills are not checked at CONNECT
 *     `connect`: a will to a topic that is not the client's …
 * - a stored will survives its session
 *     `persistence`: a will is removed …
 * - `$SYS` is open with an own authorizePublish
 *     here
 *     `publish`: a publish to another client's topic …
 * - a packet of 250 MB is buffered
 *     `rude`: a packet of more than 256 KB …
 * - keepalive 0 is never timed out
 *     `limits`: a keepalive is at most half an hour …
 * - no window: a client that acknowledges nothing is sent everything
 *     `inbox`: a client that never acknowledges gets one window …
 * - a session that acknowledges nothing stays for ever
 *     `slow`: a device that acknowledges nothing …, that stops reading …
 * - a socket that its client does not read holds its connection for ever
 *     `malformed`: half-open sockets …
 *     `rude`: a client that does not read its replies …
 */
import { generate } from 'mqtt-packet'
import { expect, test } from 'vitest'
import { publishPacket, pubackPacket, startTestBroker, subscribePacket } from '../../support/broker.ts'
import { until } from '../../support/until.ts'

const ADMIN = { claims: { scope: 'admin' } }
const SENSORS = { claims: { acl: { pub: ['sensors/#'], sub: ['sensors/#'] } } }

test('messages with QoS 1 arrive although each is followed in the same tick by one with QoS 0', async () => {
  await using broker = await startTestBroker()
  const reader = await broker.device('reader', { ...SENSORS, clean: true, subscribe: ['sensors/#'] })
  const sensor = await broker.rawDevice('sensor', SENSORS)
  const n = 500
  sensor.bytes(Buffer.concat(Array.from({ length: n }, (_, i) => [
    generate(publishPacket(
      'sensors/1', `one ${i}`, 1, i + 1
    )), generate(publishPacket('sensors/1', `zero ${i}`))
  ]).flat()))
  await until(
    () => reader.received.filter(message => message.payload.toString().startsWith('zero')).length === n,
    'those with QoS 0 came'
  )
  await until(() => reader.received.length === 2 * n, 'the others came too')
})

test('inbox events arrive although each is followed in the same tick by one with QoS 0', async () => {
  await using broker = await startTestBroker()
  const conversation = await broker.direct('bob', 'ann')
  const ann = await broker.device('ann', { ...SENSORS, subscribe: ['user/ann/#', 'sensors/#'] })
  const sensor = await broker.device('sensor', SENSORS)
  broker.messaging.wakes.listen('ann', {
    wake: () => sensor.client.publish('sensors/1', '{}'),
    live: () => {}
  })
  const n = 200
  await Promise.all(Array.from({ length: n }, (_, i) => broker.say('bob', conversation, `${i}`)))
  await until(() => ann.events.length === n + 1 && ann.on('sensors/1').length > 0, 'all came')
})

test('one frozen subscriber with QoS 0 stops no other client', async () => {
  await using broker = await startTestBroker()
  const frozen = await broker.rawDevice('frozen', SENSORS)
  frozen.packet(subscribePacket(1, 'sensors/#', 0))
  await frozen.nth('suback', 1)
  frozen.freeze()
  const reader = await broker.device('reader', { ...SENSORS, subscribe: ['sensors/#'] })
  const sensor = await broker.device('sensor', SENSORS)
  const n = 2_000
  const payload = Buffer.alloc(10_000)
  for (let i = 0; i < n; i += 100) {
    await Promise.all(Array.from(
      { length: 100 }, () => sensor.client.publishAsync('sensors/1', payload, { qos: 1 })
    ))
  }
  await until(() => reader.received.length === n, 'the other one got all')
  expect(frozen.closed).toBe(false)
})

test('acknowledgements of clean and of stored sessions both count', async () => {
  await using broker = await startTestBroker()
  for (const clean of [true, false]) {
    const user = `user-${clean}`
    const conversation = await broker.direct('bob', user)
    const message = await broker.say('bob', conversation, 'hello')
    const raw = await broker.rawDevice(user, { clean })
    raw.packet(subscribePacket(1, `user/${user}/inbox`))
    await raw.nth('publish', 2)
    for (const { messageId } of raw.of('publish')) raw.packet(pubackPacket(messageId!))
    await until(async () => await broker.status('bob', message) === 'delivered', 'it counts')
  }
})

test('what the broker says of itself is for admins only, and no client can say it', async () => {
  await using broker = await startTestBroker()
  const admin = await broker.device('root', { ...ADMIN, subscribe: ['$SYS/#'] })
  const ann = await broker.device('ann', SENSORS)
  expect(await ann.subscribe(['$SYS/#', '$SYS/+/new/clients'])).toEqual([128, 128])
  await until(() =>
    admin.received.some(message => message.topic.endsWith('/new/clients')), 'the admin hears of new clients')
  const forger = await broker.rawDevice('bob', { claims: { acl: { pub: ['$SYS/#', '#'], sub: [] } } })
  forger.packet(publishPacket('$SYS/forged/new/clients', 'ann/phone', 1, 1))
  await until(() => forger.closed, 'the forger\'s connection closes')
  expect(ann.client.connected).toBe(true)
  expect(admin.received.filter(message => message.topic.includes('forged'))).toEqual([])
})
