/**
 * The JSON WebSocket door: how clients without MQTT connect (docs/protocol.md).
 *
 * A client shows its token on the upgrade or in its first frame. Before that it receives nothing.
 * From there on a connection is a device like any other: the same registry, the same limits.
 */
import { type IncomingMessage } from 'node:http'
import { type Duplex } from 'node:stream'
import { type Logger } from 'pino'
import { WebSocketServer, type WebSocket } from 'ws'
import { readCommand } from '../../core/commands.ts'
import { withinMs } from '../../core/deadline.ts'
import { AppError } from '../../core/errors.ts'
import { readIdHeader } from '../../core/id-header.ts'
import { type Identity } from '../../core/identity.ts'
import { type Messaging } from '../../messaging/start.ts'
import { levelOf } from '../connection-errors.ts'
import { openDevice } from '../inbox/opening.ts'
import { type ConnectionRegistry } from '../inbox/registry.ts'
import { startRateLimit, type RateLimit } from '../limits/rate.ts'
import { throttledTotal, wsUpgradesTotal } from '../metrics.ts'
import { type Arrival } from '../transport/arrival.ts'
import { CLOSE, refuseUpgrade, toldError } from './close-codes.ts'
import { takeCommands } from './commands.ts'
import { endSocket, JsonConnection, type ConnectionTimes } from './json-connection.ts'

const MAX_FRAME_BYTES = 512 * 1024
/** Of one user. Pings of clients are rare: the server pings. */
const PINGS_PER_SECOND = 20
const BEAT_MS = 1_000
const CLOSE_TIMEOUT_MS = 1_000

export interface JsonWebSocketDeps {
  messaging: Messaging
  registry: ConnectionRegistry
  commandRate: RateLimit
  times: ConnectionTimes
  log: Logger
}

export interface JsonWebSocket extends AsyncDisposable {
  /** An upgrade at the path of this door, from an allowed origin. */
  accept (request: IncomingMessage, socket: Duplex, head: Buffer, arrival: Arrival): void
  /** Open connections, and the devices among them: those with an accepted token. */
  counts (): { connections: number, devices: number }
}

/** A client with an open socket that may have shown its token. */
interface Caller { socket: Duplex, arrival: Arrival, deviceId: string | undefined }

export function startJsonWebSocket (
  { messaging, registry, commandRate, times, log }: JsonWebSocketDeps
): JsonWebSocket {
  const server = new WebSocketServer({
    noServer: true, maxPayload: MAX_FRAME_BYTES, perMessageDeflate: false, autoPong: false
  })
  server.on('wsClientError', (_, socket) => refuseUpgrade(socket, '400 Bad Request', 'no WebSocket upgrade'))
  const open = new Set<WebSocket>()
  const connections = new Set<JsonConnection>()
  const pingRate = startRateLimit({
    perSecond: PINGS_PER_SECOND,
    now: () => performance.now(),
    onWait: () => throttledTotal.inc({ limit: 'pings' })
  })
  const beats = setInterval(() => {
    const now = performance.now()
    for (const connection of connections) connection.beat(now)
  }, Math.min(BEAT_MS, times.silenceMs / 4, times.pingEveryMs / 4))

  /** Undefined: the upgrade is refused, and answered. */
  function upgrade (request: IncomingMessage, socket: Duplex, head: Buffer): WebSocket | undefined {
    let upgraded: WebSocket | undefined
    server.handleUpgrade(request, socket, head, ws => {
      upgraded = ws
      open.add(ws)
      ws.once('close', () => open.delete(ws))
      ws.on('error', error => log[levelOf(error)]({ err: error }, 'a connection failed'))
    })
    return upgraded
  }

  /** Undefined: the socket is gone. Throws AppError. */
  async function connect (
    { socket, arrival, deviceId }: Caller, identity: Identity, webSocket: () => WebSocket | undefined
  ): Promise<JsonConnection | undefined> {
    const device = {
      userId: identity.userId,
      deviceId: deviceId ?? `anonymous-${crypto.randomUUID()}`,
      clean: deviceId === undefined
    }
    const connection = await openDevice({ messaging, registry }, {
      ...device,
      listens: true,
      isOpen: () => !socket.destroyed,
      create ({ opened, early }) {
        const ws = webSocket()
        if (ws === undefined || ws.readyState !== ws.OPEN) return undefined
        return new JsonConnection({
          ws,
          socket,
          address: arrival.address,
          identity,
          ...device,
          opened,
          early: early!,
          times,
          messaging,
          log
        })
      }
    })
    if (connection === undefined) return undefined
    connections.add(connection)
    connection.onClose(() => {
      connections.delete(connection)
      registry.closed(connection)
    })
    arrival.finished()
    return connection
  }

  function serve (ws: WebSocket, connection: JsonConnection): (frame: Buffer, isBinary: boolean) => void {
    const command = takeCommands({ messaging, commandRate, log }, connection)
    const control = (then: () => void): void => {
      if (connection.closed) return
      const turn = pingRate.take(connection.userId, connection)
      if (turn === undefined) return then()
      const resume = connection.pause()
      turn.then(then, () => connection.end(CLOSE.tooMany, 'too many pings')).finally(resume)
    }
    ws.on('ping', payload => control(() => connection.pong(payload)))
    ws.on('pong', payload => { if (!connection.heartbeat.pong(payload)) control(() => {}) })
    ws.once('close', () => connection.close())
    return command
  }

  async function acceptBearer (
    request: IncomingMessage, head: Buffer, caller: Caller, token: string
  ): Promise<void> {
    caller.arrival.connecting()
    const identity = await messaging.authentication.authenticate(token)
    let ws: WebSocket | undefined
    const connection = await connect(caller, identity, () => (ws = upgrade(request, caller.socket, head)))
    if (ws === undefined || connection === undefined) return
    ws.on('message', serve(ws, connection))
    wsUpgradesTotal.inc({ outcome: 'accepted' })
  }

  function acceptLater (ws: WebSocket, caller: Caller): void {
    let command: ((frame: Buffer, isBinary: boolean) => void) | undefined
    /** What came behind the first frame; bounded, because the socket is not read meanwhile. */
    let early: Array<[Buffer, boolean]> | undefined
    caller.arrival.onLate(() => endSocket(ws, CLOSE.timeout, 'no token has come in time'))
    ws.on('message', (frame: Buffer, isBinary) => {
      if (command !== undefined) return command(frame, isBinary)
      if (early !== undefined) {
        early.push([frame, isBinary])
        return
      }
      early = []
      ws.pause()
      caller.arrival.connecting()
      authenticateFrame(ws, caller, frame, isBinary).then(connection => {
        if (connection === undefined) return
        command = serve(ws, connection)
        ws.resume() // first: the frames that wait may pause it again
        early!.splice(0).forEach(([frame, isBinary]) => command!(frame, isBinary))
        wsUpgradesTotal.inc({ outcome: 'accepted' })
      }).catch((error: unknown) => {
        const { code, detail } = tell(error, caller)
        endSocket(ws, code, detail)
      })
    })
  }

  async function authenticateFrame (
    ws: WebSocket, caller: Caller, frame: Buffer, isBinary: boolean
  ): Promise<JsonConnection | undefined> {
    if (isBinary) {
      endSocket(ws, CLOSE.unsupported, 'frames are JSON in text')
      return undefined
    }
    const command = readCommand(frame)
    if (command instanceof Error || command.type !== 'auth') {
      throw new AppError('unauthenticated', 'auth_required', 'the first frame must be auth with a token')
    }
    const identity = await messaging.authentication.authenticate(command.token)
    const connection = await connect(caller, identity, () => ws)
    if (command.request_id !== undefined) {
      connection?.reply(Buffer.from(JSON.stringify({ type: 'accepted', request_id: command.request_id })))
    }
    return connection
  }

  function tell (
    error: unknown, { arrival: { address }, deviceId: clientId }: Caller
  ): { code: number, status: string, detail: string } {
    const told = toldError(error)
    if (told === undefined) log.error({ err: error }, 'a WebSocket could not be opened')
    const failed = told === undefined || told.code === CLOSE.tryAgain
    wsUpgradesTotal.inc({ outcome: failed ? 'failed' : 'refused' })
    if (told !== undefined) {
      messaging.refusals.note({ door: 'websocket', address, clientId, code: told.code, reason: told.detail })
    }
    return told ?? { code: CLOSE.internal, status: '500 Internal Server Error', detail: 'internal error' }
  }

  return {
    accept (request, socket, head, arrival) {
      const caller: Caller = { socket, arrival, deviceId: undefined }
      const refuse = (error: unknown): void => {
        const { status, detail } = tell(error, caller)
        refuseUpgrade(socket, status, detail)
      }
      try {
        caller.deviceId = deviceIdOf(request)
        const token = bearerOf(request)
        if (token !== undefined) {
          acceptBearer(request, head, caller, token).catch(refuse)
          return
        }
        const ws = upgrade(request, socket, head)
        if (ws !== undefined) acceptLater(ws, caller)
      } catch (error) {
        refuse(error)
      }
    },
    counts: () => ({ connections: open.size, devices: connections.size }),
    async [Symbol.asyncDispose] () {
      clearInterval(beats)
      const closed = [...open].map(ws => new Promise<void>(resolve => ws.once('close', () => resolve())))
      for (const connection of connections) connection.end(CLOSE.goingAway, 'the server is stopping')
      for (const ws of open) endSocket(ws, CLOSE.goingAway, 'the server is stopping')
      await withinMs(CLOSE_TIMEOUT_MS, Promise.all(closed))
      for (const ws of open) ws.terminate()
      pingRate[Symbol.dispose]()
    }
  }
}

/** Undefined: there is none. Throws `unauthenticated` for another scheme. */
function bearerOf ({ headers: { authorization } }: IncomingMessage): string | undefined {
  if (authorization === undefined) return undefined
  const token = /^Bearer +(\S+) *$/i.exec(authorization)?.[1]
  if (token !== undefined) return token
  throw new AppError('unauthenticated', 'invalid_token', 'authorization must be Bearer and a token')
}

/** In `X-Device-ID`, or where a browser can put it: `?device_id=`. Throws `invalid`. */
function deviceIdOf ({ headers, url = '' }: IncomingMessage): string | undefined {
  const given = new URLSearchParams(url.split('?')[1]).get('device_id') ?? ''
  return readIdHeader(headers['x-device-id'], 'X-Device-ID') ??
    readIdHeader(Buffer.from(given).toString('latin1'), 'device_id')
}
