/** One phone behind a counter, over one door, with or without TLS: what each thing it does costs. */
import { randomUUID } from 'node:crypto'
import { Agent as PlainAgent, request as plainRequest } from 'node:http'
import { Agent, request } from 'node:https'
import { type Server } from '../server.ts'
import { mean, startCounter, sum, type Traffic } from './counter.ts'
import { connectJson, connectMqtt, type Dial, type Phone } from './phones.ts'
import { startTls, type Certificate } from './tls.ts'

const TIMES = 10
const DEADLINE_MS = 10_000
/** As long as a message of a chat. */
const CONTENT = 'A hundred characters, '.padEnd(100, 'as long as many a message is, ')

export type Door = 'MQTT' | 'MQTT over WebSocket' | 'JSON over WebSocket'

export interface Costs {
  received: Traffic
  sent: Traffic
  receipt: Traffic
  /** Nothing for JSON, where the server asks. */
  ping: Traffic
  /** With the session that is stored. */
  connect: Traffic
  /** The same over TLS that remembers the last time. */
  resumed: Traffic | undefined
  /** Without a session: the log is read over REST, from the place that the phone has kept. */
  unstored: Traffic
}

export interface Subject { door: Door, certificate: Certificate | undefined }

/** Ann has the phone, and Ben writes to her. */
export async function measure (server: Server, { door, certificate }: Subject): Promise<Costs> {
  const [userId, partnerId] = [`ann-${randomUUID().slice(0, 8)}`, `ben-${randomUUID().slice(0, 8)}`]
  const [token, partnerToken] = [server.token(userId), server.token(partnerId)]
  const ca = certificate?.cert
  const port = door === 'MQTT' ? server.mqttPort : server.wsPort!
  await using terminator = certificate && await startTls(certificate, port)
  await using restTerminator = certificate && await startTls(certificate, server.api.port)
  await using counter = await startCounter(terminator?.port ?? port)
  await using restCounter = await startCounter(restTerminator?.port ?? server.api.port)
  const bens = { port: server.api.port, ca: undefined, token: partnerToken, deviceId: 'bens-phone' }
  const ben = (method: string, path: string, body?: object): Promise<any> => ask(bens, method, path, body)

  const dial: Dial = { port: counter.port, userId, token, deviceId: 'anns-phone', ca, stored: true }
  const connectPhone = (changes: Partial<Dial> = {}): Promise<Phone> => door === 'JSON over WebSocket'
    ? connectJson({ ...dial, ...changes })
    : connectMqtt(door === 'MQTT' ? 'mqtt' : 'ws', { ...dial, ...changes })

  const { id: conversation_id } =
    await ben('POST', '/conversations', { type: 'direct', participant_ids: [userId] }) as { id: string }
  const write = (): Promise<{ id: string }> =>
    ben('POST', '/messages', { conversation_id, content: CONTENT, message_type: 'text' })

  let phone = await connectPhone()
  await counter.take()

  /** The mean of what `act` brings about. */
  async function cost (act: () => unknown): Promise<Traffic> {
    const all: Traffic[] = []
    for (let i = 0; i < TIMES; i++) {
      await act()
      all.push(await counter.take())
    }
    return mean(all)
  }
  async function afterEvent (act: () => Promise<unknown>): Promise<void> {
    const before = phone.received
    await act()
    await until(() => phone.received > before)
  }
  const send = (): void => phone.command({
    type: 'send_message',
    conversation_id,
    content: CONTENT,
    message_type: 'text',
    client_message_id: randomUUID()
  })

  await afterEvent(write)
  await counter.take()
  const received = await cost(() => afterEvent(write))
  const sent = await cost(send)
  // Ben reads one of her messages after the other.
  const { messages } = await ben('GET', `/conversations/${conversation_id}/messages?limit=${TIMES}`)
  const unread = (messages as Array<{ id: string }>).reverse()
  const receipt = await cost(() => afterEvent(() => ben('POST', `/messages/${unread.shift()!.id}/read`)))
  const ping = await cost(() => phone.ping())

  async function reconnect (changes: Partial<Dial> = {}): Promise<void> {
    await phone.vanish()
    await counter.take()
    phone = await connectPhone(changes)
  }
  const connect = await cost(() => reconnect())
  let ticket: Buffer | undefined
  let resumed: Traffic | undefined
  if (door === 'MQTT' && certificate !== undefined) {
    await reconnect({ onTicket: given => { ticket = given } })
    await counter.take()
    resumed = await cost(() => reconnect({ ticket }))
  }
  await restCounter.take()
  const withoutSession = await cost(() => reconnect({ stored: false }))
  const log = await costOfLog()
  await phone.vanish()
  return { received, sent, receipt, ping, connect, resumed, unstored: sum(withoutSession, log) }

  /** Where nothing has happened meanwhile. */
  async function costOfLog (): Promise<Traffic> {
    const all: Traffic[] = []
    const { last_seq } = await ask({ port: server.api.port, ca: undefined, token }, 'GET', '/inbox?limit=1')
    for (let i = 0; i < TIMES; i++) {
      const from = { port: restCounter.port, ca, token, deviceId: 'anns-phone' }
      await ask(from, 'GET', `/inbox?after=${last_seq}`)
      all.push(await restCounter.take())
    }
    return mean(all)
  }
}

interface Asked { port: number, ca: Buffer | undefined, token: string, deviceId?: string }

/** On a connection of its own. */
async function ask (
  { port, ca, token, deviceId }: Asked, method: string, path: string, body?: object
): Promise<any> {
  const secure = ca !== undefined
  const headers = {
    authorization: `Bearer ${token}`,
    ...(deviceId === undefined ? {} : { 'x-device-id': deviceId }),
    ...(body === undefined ? {} : { 'content-type': 'application/json' })
  }
  const text = await new Promise<string>((resolve, reject) => {
    const agent = secure ? new Agent() : new PlainAgent()
    const options: object = { host: 'localhost', port, method, path: `/api/v1${path}`, headers, ca, agent }
    const asked = (secure ? request : plainRequest)(options, answer => {
      let text = ''
      answer.setEncoding('utf8').on('data', (part: string) => { text += part })
      answer.on('end', () => answer.statusCode! < 300
        ? resolve(text)
        : reject(new Error(`${method} ${path}: ${answer.statusCode} ${text}`)))
    })
    asked.on('error', reject)
    asked.end(body === undefined ? undefined : JSON.stringify(body))
  })
  return text === '' ? undefined : JSON.parse(text)
}

async function until (condition: () => boolean): Promise<void> {
  for (const deadline = performance.now() + DEADLINE_MS; !condition();) {
    if (performance.now() > deadline) throw new Error('the event has not come')
    await new Promise(resolve => setTimeout(resolve, 1))
  }
}

/** What the server asks of a silent phone in so many seconds. */
export async function measureSilence (server: Server, seconds: number): Promise<Traffic> {
  const userId = `ann-${randomUUID().slice(0, 8)}`
  await using counter = await startCounter(server.wsPort!)
  const token = server.token(userId)
  const { port } = counter
  const phone =
    await connectJson({ port, userId, token, deviceId: 'anns-phone', ca: undefined, stored: true })
  await counter.take()
  await new Promise(resolve => setTimeout(resolve, seconds * 1_000))
  const silence = await counter.take()
  await phone.vanish()
  return silence
}
