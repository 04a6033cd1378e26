/** Two brokers and two apis as docker-compose.yml has them: behind HAProxy, with its file. */
import { credentials } from '@grpc/grpc-js'
import { execFile } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { connect, type Socket } from 'node:net'
import { networkInterfaces } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Opened } from '../../lifecycle.ts'
import { createCertificate } from '../support/certificate.ts'
import { startCluster, type TestCluster } from '../support/cluster.ts'
import { scratchFolder, token, tokenWith, type EchoProcess } from '../support/echo-process.ts'
import { openEvents, type EventReader } from '../support/event-stream.ts'
import { grpcClient, refused, type FollowedStream, type GrpcClient } from '../support/grpc-client.ts'
import { noHaproxy, startHaproxy, type Haproxy } from '../support/haproxy.ts'
import { connectJson, type JsonDevice } from '../support/json-device.ts'
import { nodeName } from '../support/nodes.ts'
import { connectPhone, type Phone } from '../support/phone.ts'
import { restClient, type RestClient } from '../support/rest.ts'
import { until } from '../support/until.ts'

/** A process that is told to stop serves until it is killed. */
const LONGER_THAN_ANY_TEST_MS = '600000'
/** In a second an address may have 300. */
const BURST = 400
/** Loopback has no limits per address. A connection to this address comes from it. */
const outside = Object.values(networkInterfaces()).flat()
  .find(address => address?.family === 'IPv4' && !address.internal)?.address
const host = outside ?? '127.0.0.1'

const opened = new Opened()
let cluster: TestCluster
let folder: string
let servers: Record<string, EchoProcess>
let haproxy: Haproxy
let api: string
let root: RestClient

beforeAll(async () => {
  if (noHaproxy) return
  cluster = await opened.add(startCluster())
  folder = (await opened.add(scratchFolder())).path
  const names = ['broker-1', 'broker-2', 'api-1', 'api-2']
  const processes = await Promise.all(names.map(name => cluster.start(name.slice(0, -2), {
    TRUST_PROXY: 'on',
    PROXY_PROTOCOL: 'on',
    RATE_LIMIT_REQUESTS: '1000000',
    STOP_DELAY_MS: LONGER_THAN_ANY_TEST_MS
  })))
  servers = Object.fromEntries(names.map((name, i) => [name, processes[i]!]))
  haproxy = await opened.add(startHaproxy({ folder, servers }))
  api = `http://${host}:${haproxy.ports.rest}/api/v1`
  root = restClient(api, await tokenWith('root', { scope: 'admin' }))
}, 120_000)
afterAll(async () => { await opened[Symbol.asyncDispose]() })

interface Session { door: string, node: string, address: string }
const sessionsOf = async (userId: string): Promise<Session[]> =>
  (await root('GET', `/admin/users/${userId}/sessions`)).body.sessions
const as = async (userId: string): Promise<RestClient> => restClient(api, await token(userId))
const phoneOf = async (userId: string): Promise<Phone> => await connectPhone({
  userId, deviceId: 'phone', token: await token(userId), host, port: haproxy.ports.mqtt
})
const text = (conversation_id: string, content: string) => ({
  conversation_id, content, message_type: 'text'
})

interface Clients extends AsyncDisposable {
  phone: Phone
  browser: Phone
  json: JsonDevice
  grpc: GrpcClient
  stream: FollowedStream
  reader: EventReader
  /** What each of them was told of new messages there. */
  told (group: string): Record<string, string[]>
}

/** One client at each door: ann and ben on MQTT, cem on JSON, dot on server-sent events, eve on gRPC. */
async function openDoors (
  { ports }: Haproxy, at: string, ca?: Buffer
): Promise<Clients> {
  const all = new Opened()
  const scheme = (plain: string, tls: string): string => ca === undefined ? plain : tls
  const phone = await all.add(connectPhone({
    userId: 'ann', deviceId: 'phone', token: await token('ann'), host: at, port: ports.mqtt, ca
  }))
  const browser = await all.add(connectPhone({
    userId: 'ben',
    deviceId: 'page',
    token: await token('ben'),
    host: at,
    port: ports.websocket,
    over: 'ws',
    ca
  }))
  const json = await all.add(connectJson(ports.websocket, {
    token: await token('cem'),
    deviceId: 'laptop',
    url: `${scheme('ws', 'wss')}://${at}:${ports.websocket}`,
    options: { ca }
  }))
  const reader =
    await openEvents(`${scheme('http', 'https')}://${at}:${ports.rest}/api/v1`, await token('dot'), { ca })
  const trust = ca === undefined ? undefined : credentials.createSsl(ca)
  const grpc = grpcClient(ports.grpc, await token('eve'), trust, at)
  const stream = await grpc.streamMessages({ user_id: 'eve' })
  expect([reader.status, stream.end]).toEqual([200, undefined])
  const contents = (events: any[], group: string): string[] => events
    .filter(({ type, message }) => type === 'new_message' && message.conversation_id === group)
    .map(({ message }) => message.content)
  return {
    phone,
    browser,
    json,
    grpc,
    stream,
    reader,
    told: group => ({
      ann: contents(phone.events, group),
      ben: contents(browser.events, group),
      cem: contents(json.frames, group),
      dot: contents(reader.events().map(({ data }) => data), group),
      eve: contents(stream.events, group)
    }),
    async [Symbol.asyncDispose] () {
      reader[Symbol.dispose]()
      grpc[Symbol.dispose]()
      await all[Symbol.asyncDispose]()
    }
  }
}

/** Everybody sends by their own door, and hears each of the others once. */
async function talk (
  clients: Clients, group: string, overRest: (body: object) => Promise<void>
): Promise<void> {
  const { phone, browser, json, grpc } = clients
  const command = (content: string) =>
    ({ type: 'send_message', client_message_id: `${group} ${content}`, ...text(group, content) })
  for (const [{ client }, userId] of [[phone, 'ann'], [browser, 'ben']] as const) {
    await client.publishAsync(
      `user/${userId}/outbox`, JSON.stringify(command(`${userId} speaks`)), { qos: 1 }
    )
  }
  json.send(command('cem speaks'))
  await until(() => json.of('accepted').length > 0, 'the JSON WebSocket answers')
  await overRest(text(group, 'dot speaks'))
  await grpc.sendMessage({ sender_user_id: 'eve', ...text(group, 'eve speaks') })
  const all = ['ann', 'ben', 'cem', 'dot', 'eve']
  for (const userId of all) {
    const others = all.filter(other => other !== userId).map(other => `${other} speaks`)
    const told = (): string[] => clients.told(group)[userId]!
    await until(() => told().length >= others.length, `${userId} hears the others`, 15_000)
    expect(told(), userId).toEqual(others)
  }
}

const createGroup = async (): Promise<string> => (await (await as('ann'))('POST', '/conversations', {
  type: 'group', participant_ids: ['ben', 'cem', 'dot', 'eve'], title: 'Doors'
})).body.id

describe.skipIf(noHaproxy)('with haproxy', { timeout: 60_000 }, () => {
  test('every door works, and sees the address of its client', async () => {
    const group = await createGroup()
    await using clients = await openDoors(haproxy, host)
    const dot = await as('dot')
    await talk(clients, group, async body => {
      expect((await dot('POST', '/messages', body)).status).toBe(201)
    })
    for (const [userId, door] of [
      ['ann', 'mqtt'], ['ben', 'mqtt'], ['cem', 'websocket'], ['dot', 'sse'], ['eve', 'grpc']
    ] as const) {
      expect(await sessionsOf(userId), userId).toMatchObject([{ door, address: host }])
    }
  })

  test('metrics are for the inside, however their path is written', async () => {
    for (const path of ['/metrics', '/%6detrics', '/METRICS']) {
      expect((await fetch(new URL(path, api))).status, path).toBe(403)
    }
    expect((await fetch(new URL('/health', api))).status).toBe(200)
  })

  test.skipIf(outside === undefined)('limits per address count the client (with an address beyond loopback)', async () => {
    // Addresses are counted before tokens are looked at.
    const near = grpcClient(haproxy.ports.grpc, undefined)
    const far = grpcClient(haproxy.ports.grpc, undefined, undefined, host)
    const ask = async (at: string): Promise<number> =>
      (await fetch(`http://${at}:${haproxy.ports.rest}/api/v1/users/me`)).status
    const call = async ({ getMessages }: GrpcClient): Promise<string> =>
      (await refused(getMessages({}))).status
    const burst = <T>(one: () => Promise<T>): Promise<T[]> => Promise.all(Array.from({ length: BURST }, one))
    // The balancer itself is on loopback, and so are those who are near.
    expect(new Set(await burst(() => ask('127.0.0.1')))).toEqual(new Set([401]))
    await until(async () => (await burst(() => ask(host))).includes(429), 'requests are limited', 30_000)
    expect(new Set(await burst(() => call(near)))).toEqual(new Set(['UNAUTHENTICATED']))
    const limited = async (): Promise<boolean> =>
      (await burst(() => call(far))).includes('RESOURCE_EXHAUSTED')
    await until(limited, 'calls are limited', 30_000)
    await until(async () => await ask(host) === 401, 'the address may go on')
    for (const client of [near, far]) client[Symbol.dispose]()

    // Both brokers together let an address have 200 that owe their CONNECT.
    const [strange, own] = [host, '127.0.0.1'].map(address =>
      Array.from({ length: 230 }, () => connect(haproxy.ports.mqtt, address).on('error', () => {}))) as
      [Socket[], Socket[]]
    const ended = (sockets: Socket[]): number => sockets.filter(socket => socket.closed).length
    for (const socket of [...strange, ...own]) socket.resume()
    try {
      await until(() => ended(strange) >= 30, 'those that are too many are ended')
      expect(ended(own)).toBe(0)
    } finally {
      for (const socket of [...strange, ...own]) socket.destroy()
    }
  })

  test('the frontends for TLS in docs/operations.md take every door', async () => {
    await using certificate = await createCertificate()
    const { files, pem: { cert, key } } = certificate
    const pem = join(folder, 'echo.pem')
    await writeFile(pem, Buffer.concat([cert, key]))
    await using tls = await startHaproxy({ folder, servers, pem })
    const group = await createGroup()
    await using clients = await openDoors(tls, 'localhost', cert)
    const dot = await token('dot')
    await talk(clients, group, async body => {
      await promisify(execFile)('curl', [
        '-fsS', '--cacert', files.cert, '-H', `authorization: Bearer ${dot}`, '--json', JSON.stringify(body),
        `https://localhost:${tls.ports.rest}/api/v1/messages`
      ])
    })
    const plain = connect(tls.ports.mqtt, '127.0.0.1').on('error', () => {})
    plain.end('no TLS')
    plain.resume()
    await until(() => plain.closed, 'what is no TLS is ended')
  })

  test('a broker that is told to stop gets nothing new and keeps what it has', async () => {
    const names = ['broker-1', 'broker-2'].map(name => nodeName(servers[name]!))
    const nodeOf = async (userId: string): Promise<string> => (await sessionsOf(userId))[0]!.node
    const phones: Phone[] = []
    try {
      // One after the other goes to the broker that has fewer.
      for (const userId of ['fay', 'gus']) phones.push(await phoneOf(userId))
      const [faysNode, gussNode] = [await nodeOf('fay'), await nodeOf('gus')]
      expect([faysNode, gussNode].toSorted()).toEqual(names.toSorted())
      const stopping = servers[`broker-${names.indexOf(faysNode) + 1}`]!
      stopping.child.kill('SIGTERM')
      // Each newcomer would go to the broker with fewer connections: to the one that stops, every other time.
      let inARow = 0
      for (let i = 0; inARow < 6; i++) {
        phones.push(await phoneOf(`newcomer-${i}`))
        inARow = await nodeOf(`newcomer-${i}`) === gussNode ? inARow + 1 : 0
      }
      const [fay] = phones
      const { body: { id } } =
        await (await as('gus'))('POST', '/conversations', { type: 'direct', participant_ids: ['fay'] })
      await (await as('gus'))('POST', '/messages', text(id, 'still there'))
      await until(() => fay!.events.some(({ message }) => message?.content === 'still there'), 'fay hears it')
      expect(fay!.client.connected).toBe(true)

      await stopping.kill()
      await until(() => !fay!.client.connected, 'the connection ends')
      await (await as('gus'))('POST', '/messages', text(id, 'meanwhile'))
      const again = await phoneOf('fay')
      phones.push(again)
      const heard = (): boolean => again.events.some(({ message }) => message?.content === 'meanwhile')
      await until(heard, 'fay hears the rest')
      expect(again.sessionPresent).toBe(true)
      expect(await nodeOf('fay')).toBe(gussNode)
    } finally {
      await Promise.all(phones.map(phone => phone[Symbol.asyncDispose]()))
    }
  })

  test('when an api is killed, a request goes through at the second try, and streams go on at the other one', async () => {
    const [hal, ida] = [await as('hal'), await as('ida')]
    const { body: { id } } = await hal('POST', '/conversations', { type: 'direct', participant_ids: ['ida'] })
    const idas = await token('ida')
    const openStream = async () => {
      const grpc = grpcClient(haproxy.ports.grpc, idas, undefined, host)
      return { grpc, stream: await grpc.streamMessages({ user_id: 'ida' }) }
    }
    const streams = [await openStream(), await openStream()]
    const readers = [await openEvents(api, idas), await openEvents(api, idas)]
    const lastId = ({ blocks }: EventReader): number => blocks.findLast(block => block.id !== undefined)!.id!
    await until(() => readers.every(({ blocks }) => blocks.length > 0), 'the readers know where they are')
    await servers['api-1']!.kill()
    const sent: string[] = []
    for (let i = 0; i < 20; i++) {
      const message = { ...text(id, `message ${i}`), client_message_id: `${i}` }
      const send = () => hal('POST', '/messages', message)
      // HAProxy ends a connection whose request was on its way when the api went: the client repeats it.
      const { status } = await send().catch(send)
      expect(status).toBe(201)
      sent.push(message.content)
    }
    // Balanced by turns, one of two was there.
    await until(() => readers.some(({ ended }) => ended), 'a reader loses its stream')
    await until(() => streams.some(({ stream }) => stream.end !== undefined), 'a stream of gRPC ends')
    const lost = readers.find(({ ended }) => ended)!
    const again = await openEvents(api, idas, { headers: { 'last-event-id': String(lastId(lost)) } })
    const told = (reader: EventReader): string[] => reader.events()
      .filter(({ event }) => event === 'new_message').map(({ data }) => data.message.content)
    await until(() => told(lost).length + told(again).length >= sent.length, 'nothing is missed', 15_000)
    expect([...told(lost), ...told(again)]).toEqual(sent)
    streams.push(await openStream())
    expect(streams.at(-1)!.stream.end).toBe(undefined)
    expect((await ida('GET', `/conversations/${id}/messages?limit=20`)).body.messages.length).toBe(20)
    for (const { grpc } of streams) grpc[Symbol.dispose]()
    for (const reader of [...readers, again]) reader[Symbol.dispose]()
  })
})
