/** CONNECT: who may, as what, and what is refused with which code [MQTT-3.2.2-6]. */
import { expect, test } from 'vitest'
import { generate } from 'mqtt-packet'
import { connectPacket, startTestBroker } from '../../support/broker.ts'
import { unsignedToken } from '../../support/tokens.ts'
import { until } from '../../support/until.ts'

const CLEAN_SESSION = 0x02

test('a token that does not hold is refused with 4', async () => {
  await using broker = await startTestBroker({ issuer: 'https://issuer.example' })
  const refused = {
    none: '',
    garbage: 'not.a.token',
    expired: await broker.token('ann', { expires: Math.floor(Date.now() / 1000) - 60 }),
    'signed with another key': await broker.token(
      'ann', { secret: new TextEncoder().encode('a key that this server does not know') }
    ),
    'not signed': unsignedToken('ann'),
    'of another issuer': await broker.token('ann', { issuer: 'https://elsewhere.example' }),
    'for no user id': await broker.token('ann/#')
  }
  for (const [name, password] of Object.entries(refused)) {
    expect([name, await broker.connack({ password })]).toEqual([name, 4])
  }
  expect(await broker.connack({ password: await broker.token('ann') })).toBe(0)
})

test('a user name is the user of the token or empty', async () => {
  await using broker = await startTestBroker()
  const password = await broker.token('ann')
  expect(await broker.connack({ password, username: 'bob' })).toBe(4)
  expect(await broker.connack({ password, username: 'ann' })).toBe(0)
  expect(await broker.connack({ password, username: '' })).toBe(0)
})

test('a client id is needed for a stored session and has at most 128 characters', async () => {
  await using broker = await startTestBroker()
  const password = await broker.token('ann')
  // The packet library does not write what is to be refused: the flag is taken out afterwards.
  const nameless = generate(connectPacket({ password, clientId: '' }))
  nameless[nameless.indexOf('MQTT') + 5]! &= ~CLEAN_SESSION
  const raw = broker.raw()
  raw.bytes(nameless)
  expect((await raw.nth('connack', 1)).returnCode).toBe(2)
  expect(await broker.connack({ password, clientId: '', clean: true })).toBe(0)
  expect(await broker.connack({ password, clientId: 'x'.repeat(129) })).toBe(2)
  expect(await broker.connack({ password, clientId: 'x'.repeat(128) })).toBe(0)
  expect(await broker.connack({ password, clientId: '🙂'.repeat(128) })).toBe(0)
  expect(await broker.connack({ password, clientId: 'a b/c+#' })).toBe(0)
})

test('a will to a topic that is not the client\'s to publish to is refused with 5', async () => {
  await using broker = await startTestBroker()
  const password = await broker.token('ann', { claims: { acl: { pub: ['sensors/#'] } } })
  const will = (topic: string) => ({ topic, payload: Buffer.from('gone'), qos: 0 as const, retain: false })
  for (const topic of [
    'user/bob/inbox', 'user/bob/outbox', 'user/ann/inbox', 'user/ann/outbox', 'user/ann/live', '$SYS/x',
    'elsewhere'
  ]) {
    expect([topic, await broker.connack({ password, will: will(topic) })]).toEqual([topic, 5])
  }
  expect(await broker.connack({ password, will: will('sensors/1') })).toBe(0)
})

test('MQTT 5 is refused with 1 and leaves the device\'s connection alone', async () => {
  await using broker = await startTestBroker()
  const password = await broker.token('ann')
  const phone = await broker.device('ann', { subscribe: ['user/ann/inbox'] })
  expect(await broker.connack({ password, clientId: 'phone', protocolVersion: 5, clean: true })).toBe(1)
  expect(phone.client.connected).toBe(true)
  const conversation = await broker.direct('bob', 'ann')
  await broker.say('bob', conversation, 'hello')
  await until(() => phone.events.some(event => event.message?.content === 'hello'), 'the phone is served')
  await phone.leave()
  expect((await broker.device('ann')).sessionPresent).toBe(true)
})

test('the same client id under another user is another session', async () => {
  await using broker = await startTestBroker()
  const ann = await broker.device('ann', { deviceId: 'phone', subscribe: ['user/ann/inbox'] })
  const bob = await broker.device('bob', { deviceId: 'phone' })
  expect(bob.sessionPresent).toBe(false)
  const conversation = await broker.direct('bob', 'ann')
  await broker.say('bob', conversation, 'hello')
  await until(
    () => ann.events.some(event => event.message?.content === 'hello'),
    'the first one is still connected and served'
  )
  await bob.leave()
  const cleaner = await broker.device('bob', { deviceId: 'phone', clean: true })
  await cleaner.leave()
  await ann.leave()
  expect((await broker.device('ann', { deviceId: 'phone' })).sessionPresent).toBe(true)
})

test('a connection that is gone before its CONNECT is decided leaves no session', async () => {
  let decide = (): void => {}
  const undecided = new Promise<void>(resolve => { decide = resolve })
  let asked = 0
  await using broker = await startTestBroker({
    replace: ({ authentication }) => ({
      authentication: {
        authenticate: async token => {
          if (++asked === 2) await undecided
          return await authentication.authenticate(token)
        }
      }
    })
  })
  const phone = await broker.device('ann', { subscribe: ['user/ann/inbox'] })
  const gone = broker.raw()
  gone.packet(connectPacket({ password: await broker.token('ann'), clientId: 'phone', clean: false }))
  await until(() => asked === 2, 'the CONNECT is being decided')
  gone[Symbol.dispose]()
  await until(() => gone.closed, 'the connection is closed')
  // When a later connection is served, the broker has seen the end of the earlier one.
  expect(await broker.connack({ password: await broker.token('bob') })).toBe(0)
  decide()
  const conversation = await broker.direct('bob', 'ann')
  await broker.say('bob', conversation, 'hello')
  await until(() => phone.events.some(event => event.message?.content === 'hello'), 'the phone is served')
  expect(phone.client.connected).toBe(true)
})

test('a refused CONNECT over WebSocket gets its CONNACK too', async () => {
  await using broker = await startTestBroker()
  await expect(broker.device('ann', { over: 'ws', token: 'garbage' })).rejects.toMatchObject({ code: 4 })
  const phone = await broker.device('ann', { over: 'ws' })
  expect(phone.client.connected).toBe(true)
})

test('a CONNECT that the database is away for waits, and is accepted when it is back', async () => {
  let asked = 0
  await using broker = await startTestBroker({
    replace: ({ authentication }) => ({
      authentication: { authenticate: token => { asked++; return authentication.authenticate(token) } }
    })
  })
  const restore = await broker.cutDatabase()
  const phone = broker.raw()
  phone.packet(connectPacket({ password: await broker.token('ann') }))
  await until(() => asked === 2, 'it was asked again')
  expect(phone.received).toEqual([])
  await restore()
  expect((await phone.nth('connack', 1)).returnCode).toBe(0)
})

test('a CONNECT that waited for too long ends without a CONNACK: any would be final for some clients', async () => {
  await using broker = await startTestBroker({ broker: { connectTimeoutMs: 1_500 } })
  const restore = await broker.cutDatabase()
  const phone = broker.raw()
  phone.packet(connectPacket({ password: await broker.token('ann') }))
  await until(() => phone.closed, 'the connection is closed')
  expect(phone.received).toEqual([])
  await restore()
  expect(await broker.connack({ password: await broker.token('ann') })).toBe(0)
})
