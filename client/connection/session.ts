/**
 * One MQTT connection, from CONNECT to its end. It is never opened again: whoever wants
 * another one waits, and asks for it.
 */
import mqtt, { type MqttClient } from 'mqtt'
import { EchoError } from '../errors.ts'
import { type InboxEvent, type LiveNotice, type Reply } from '../wire/events.ts'

const CONNECT_TIMEOUT_MS = 15_000
/** Where nothing comes through any more, nobody would hear of the end before the next keepalive. */
const LEAVING_MS = 2_000
/** Where the server refuses a token, and where it asks to come back later [MQTT-3.2.2.3]. */
const REFUSALS: Record<number, EchoError> = {
  3: new EchoError('unavailable', 'the server cannot take connections now', { status: 503 }),
  4: new EchoError('invalid_token', 'the token was refused', { status: 401 })
}

export interface SessionHandlers {
  /** The event is acknowledged when this resolves, and never when it rejects. */
  inbox (event: InboxEvent): Promise<void>
  reply (reply: Reply): Promise<void>
  live (notice: LiveNotice): void
}

export interface SessionOptions {
  /** `mqtt://…` or `ws://…/mqtt`, with TLS `mqtts` and `wss`. */
  url: string
  userId: string
  deviceId: string
  token: string
  keepaliveS: number
  /** Ends the connection, however far it has got. */
  signal: AbortSignal
}

export interface Session {
  /** The server knew this device. */
  present: boolean
  /** Resolves with the PUBACK. Rejects when the connection ends before. */
  command (command: object): Promise<void>
  /** Resolves when the connection has ended, to what ended it. */
  closed: Promise<EchoError>
  /** With DISCONNECT, if it goes out soon. */
  leave (): Promise<void>
}

/** Resolves when the topics are subscribed. */
export async function openSession (
  { url, userId, deviceId, token, keepaliveS, signal }: SessionOptions, handlers: SessionHandlers
): Promise<Session> {
  const client = mqtt.connect(url, {
    clientId: deviceId,
    username: userId,
    password: token,
    clean: false,
    protocolVersion: 4,
    keepalive: keepaliveS,
    connectTimeout: CONNECT_TIMEOUT_MS,
    reconnectPeriod: 0,
    resubscribe: false,
    queueQoSZero: false
  })
  const { ended, fail } = watchEnd(client)
  const cut = (): void => fail(new EchoError('offline', 'the connection was cut'))
  if (signal.aborted) cut()
  else signal.addEventListener('abort', cut, { once: true })
  ended.then(() => signal.removeEventListener('abort', cut), () => {})
  client.handleMessage = (packet, done) => {
    dispatch(packet as { topic: string, payload: Uint8Array }).then(() => done(), error => fail(error))
  }

  const topic = (name: string): string => `user/${userId}/${name}`
  const kinds = { inbox: topic('inbox'), replies: topic('replies'), live: topic('live') }
  async function dispatch ({ topic: to, payload }: { topic: string, payload: Uint8Array }): Promise<void> {
    const value = JSON.parse(new TextDecoder().decode(payload))
    if (to === kinds.inbox) await handlers.inbox(value)
    else if (to === kinds.replies) await handlers.reply(value)
    else if (to === kinds.live) handlers.live(value)
  }

  const orEnd = <T> (step: Promise<T>): Promise<T> =>
    Promise.race([step, ended.then(error => { throw error })])

  try {
    const { sessionPresent } = await orEnd(new Promise<{ sessionPresent: boolean }>(resolve => {
      client.once('connect', resolve)
    }))
    const granted = await orEnd(client.subscribeAsync({
      [kinds.inbox]: { qos: 1 }, [kinds.replies]: { qos: 1 }, [kinds.live]: { qos: 0 }
    }))
    if (granted.some(({ qos }) => qos === 128)) {
      throw new EchoError('refused', 'a topic of the user is refused')
    }
    return {
      present: sessionPresent,
      command: async command => {
        await orEnd(client.publishAsync(`user/${userId}/outbox`, JSON.stringify(command), { qos: 1 }))
      },
      closed: ended,
      leave: async () => {
        let timer: ReturnType<typeof setTimeout>
        const late = new Promise<void>(resolve => { timer = setTimeout(resolve, LEAVING_MS) })
        await Promise.race([client.endAsync(), ended, late]).finally(() => clearTimeout(timer))
      }
    }
  } catch (error) {
    client.end(true)
    throw error
  }
}

/** The first sign of the end decides; after it nothing of this connection is acknowledged. */
function watchEnd (client: MqttClient): { ended: Promise<EchoError>, fail: (error: unknown) => void } {
  let end: (error: EchoError) => void
  const ended = new Promise<EchoError>(resolve => { end = resolve })
  const fail = (error: unknown): void => {
    const refusal = REFUSALS[(error as { code?: number })?.code ?? 0]
    end(refusal ?? (error instanceof EchoError
      ? error
      : new EchoError('network', error instanceof Error ? error.message : String(error), { cause: error })))
    client.end(true)
  }
  client.on('error', fail)
  client.on('close', () => fail(new EchoError('network', 'the connection was closed')))
  return { ended, fail }
}
