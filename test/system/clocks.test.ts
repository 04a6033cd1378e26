/** Hosts whose clocks are wrong, or are set while Echo runs. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Opened } from '../../lifecycle.ts'
import { startFakeFcm, type FakeFcm } from '../../tools/fake-fcm/server.ts'
import { NO_SWEEP, startCluster, type TestCluster } from '../support/cluster.ts'
import { type EchoProcess, tokenWith } from '../support/echo-process.ts'
import { at, command, contents, direct, phone, registerToken, say } from '../support/nodes.ts'
import { program } from '../support/programs.ts'
import { until } from '../support/until.ts'

/** The tokens of most tests are good for an hour. */
const WRONG_MS = 50 * 60_000
const HOST_CLOCK = new URL('../support/host-clock.js', import.meta.url).href

const opened = new Opened()
let cluster: TestCluster
let fcm: FakeFcm
/** On a host whose clock is 50 minutes ahead. */
let early: EchoProcess
/** 50 minutes behind. */
let late: EchoProcess
let api: EchoProcess
let earlyApi: EchoProcess

const start = (role: string, env: NodeJS.ProcessEnv): Promise<EchoProcess> => cluster.start(role, {
  NODE_OPTIONS: `--import ${HOST_CLOCK}`,
  PUSH_GRACE_MS: '20000',
  FCM_ENDPOINT: fcm.url,
  TEST_TIMINGS: JSON.stringify({ ...NO_SWEEP, tokenCheckMs: 500 }),
  ...env
})
const ahead = { HOST_CLOCK_MS: String(WRONG_MS) }
const behind = { HOST_CLOCK_MS: String(-WRONG_MS) }

beforeAll(async () => {
  fcm = await opened.add(startFakeFcm())
  cluster = await opened.add(startCluster(program('impatient')))
  const [a, b, c, d] = await Promise.all([
    start('broker', ahead), start('broker', behind), start('api', {}), start('api', ahead)
  ])
  early = a!
  late = b!
  api = c!
  earlyApi = d!
})
afterAll(async () => { await opened[Symbol.asyncDispose]() })

const tokenFor = (userId: string, seconds: number): Promise<string> =>
  tokenWith(userId, {}, Math.floor(Date.now() / 1_000) + seconds)

/** Sets the clock of a process while it runs. */
async function setClock (node: EchoProcess): Promise<void> {
  const times = (): number => node.output().split("the host's clock is wrong").length
  const before = times()
  node.child.kill('SIGUSR2')
  await until(() => times() > before, 'the clock is set')
}

test('nodes find each other, whatever their hosts take for the time', async () => {
  const conversation = await direct(api, 'ann', 'bob')
  await using ann = await phone(early, 'ann')
  await using bob = await phone(late, 'bob')
  await until(() => ann.events.length === 1 && bob.events.length === 1, 'what was there came')
  for (const [node, sender, receiver] of [[api, 'ann', bob], [earlyApi, 'bob', ann]] as const) {
    const rest = await at(node, sender)
    for (let n = 0; n < 3; n++) {
      const before = contents(receiver).length
      await say(rest, conversation, `${n}`)
      await until(() => contents(receiver).length > before, 'it came by a wake')
    }
  }
  for (const node of [early, late, api, earlyApi]) expect(node.output()).not.toContain('a node is gone')
  expect(Number(await cluster.redis.ask('zcard', 'echo:nodes'))).toBe(4)
})

test('when a user was last seen does not depend on the clock of their broker', async () => {
  await direct(api, 'cem', 'dee')
  const dee = await phone(early, 'dee')
  await using elsewhere = await phone(late, 'cem')
  const rest = await at(api, 'cem')
  const presence = async () => (await rest('GET', '/users/dee/presence')).body
  await until(async () => (await presence()).online, 'dee is there')
  await dee[Symbol.asyncDispose]()
  await until(async () => !(await presence()).online, 'dee is gone')
  expect(Math.abs(Date.parse((await presence()).last_seen_at) - Date.now())).toBeLessThan(WRONG_MS / 2)
  expect(elsewhere.client.connected).toBe(true)
})

test('a push is due when the database says so', async () => {
  const conversation = await direct(api, 'eva', 'fay')
  await registerToken(api, 'fay')
  await using bridge = await start('push-bridge', {})
  await say(await at(earlyApi, 'eva'), conversation, 'hello')
  await until(() => fcm.pushes.some(push => push.token === 'fay-token'), 'it is pushed')
  expect(bridge.child.exitCode).toBeNull()
})

test('what one bridge has claimed no other takes, whatever its host takes for the time', async () => {
  const conversation = await direct(api, 'lea', 'max')
  await registerToken(api, 'max')
  let asked = 0
  fcm.react(token => token === 'max-token' ? (asked++, { afterMs: 8_000 }) : undefined)
  await using first = await start('push-bridge', {})
  await say(await at(api, 'lea'), conversation, 'hello')
  await until(() => asked > 0, 'the first bridge sends')
  await using second = await start('push-bridge', ahead)
  await until(() => fcm.pushes.some(push => push.token === 'max-token'), 'FCM has answered')
  expect(asked).toBe(1)
  for (const bridge of [first, second]) expect(bridge.child.exitCode).toBeNull()
})

test('a token holds as long as the database says, not the host', async () => {
  const inHalfAnHour = await tokenFor('gil', 1_800)
  await using gil = await phone(early, 'gil', { token: inHalfAnHour })
  expect(gil.client.connected).toBe(true)
  const over = await tokenFor('hal', -60)
  await expect(phone(late, 'hal', { token: over })).rejects.toThrow()
})

test('a clock that is set forward, or back, disconnects nobody and holds up no command', async () => {
  await Promise.all([WRONG_MS, -WRONG_MS].map(async stepMs => {
    const broker = await start('broker', {
      RATE_LIMIT_SENDS: '5', HOST_CLOCK_STEP_MS: String(stepMs)
    })
    const conversation = await direct(api, `ida${stepMs}`, `jon${stepMs}`)
    const [ida, jon] = [`ida${stepMs}`, `jon${stepMs}`]
    await using silent = await phone(broker, jon, { paused: true })
    await using author = await phone(broker, ida, {
      subscribe: [], token: await tokenFor(ida, 1_800)
    })
    await until(() => silent.events.length === 1, 'something came and is not acknowledged')
    const send = (n: number): Promise<void> => command(author, ida, {
      type: 'send_message',
      conversation_id: conversation,
      content: `${n}`,
      message_type: 'text',
      client_message_id: `${ida}-${n}`
    })
    for (let n = 0; n < 15; n++) await send(n)

    await setClock(broker)
    const kim = `kim${stepMs}`
    await using leaving = await phone(broker, kim, { token: await tokenFor(kim, 8) })
    for (let n = 15; n < 20; n++) await send(n)
    await until(() => !leaving.client.connected, 'the broker has looked at the tokens')
    expect(author.client.connected).toBe(true)
    expect(silent.client.connected).toBe(true)
    await broker.stop()
  }))
})
