/** Where devices come in: MQTT over TCP or TLS, and WebSockets, MQTT at `/mqtt` and JSON at `/ws`. */
import { createServer as createHttpServer, type IncomingMessage, type Server as HttpServer } from 'node:http'
import {
  createServer as createTcpServer, isIP, type AddressInfo, type Server as TcpServer, type Socket
} from 'node:net'
import { type Duplex } from 'node:stream'
import { WebSocketServer, createWebSocketStream } from 'ws'
import { type Arrival } from './arrival.ts'
import { isAllowedOrigin } from './origin.ts'
import { readProxyHeader } from './proxy-protocol.ts'
import { createSecure, type Certificate } from './tls.ts'

export const MQTT_PATH = '/mqtt'
export const JSON_PATH = '/ws'
const MAX_FRAME_BYTES = 256 * 1024
/** Connections that the process has not accepted yet. Beyond it clients try again after 1, 3, 7, … s. */
const BACKLOG = 4_096
const PROXY_HEADER_TIMEOUT_MS = 3_000
const MQTT_SUBPROTOCOLS = ['mqtt', 'mqttv3.1'] // [MQTT-6.0.0-3]

export interface ListeningServer extends AsyncDisposable { port: number }

export interface ListenOptions { host: string, port: number, variable: string }

export interface Reception {
  arrive (socket: Socket): Arrival
  accept (connection: Duplex, arrival: Arrival): void
}

/**
 * With `proxyProtocol` every connection begins with a header: a balancer says where it comes from. With
 * `tls` the handshake comes next.
 */
export async function startTcpServer (
  options: ListenOptions & { proxyProtocol: boolean, tls?: Certificate }, { arrive, accept }: Reception
): Promise<ListeningServer> {
  const secure = options.tls === undefined ? undefined : createSecure(options.tls)
  const server = createTcpServer({ noDelay: true, keepAlive: true }, socket => {
    const arrival = arrive(socket)
    const enter = (): void => secure === undefined
      ? accept(socket, arrival)
      : secure(socket, secured => accept(secured, arrival))
    if (!options.proxyProtocol) {
      if (arrival.admit(socket.remoteAddress)) enter()
      return
    }
    const ignore = (): void => {} // its close is what counts
    const timer = setTimeout(() => socket.destroy(), PROXY_HEADER_TIMEOUT_MS)
    socket.on('error', ignore).once('close', () => clearTimeout(timer))
    readProxyHeader(socket, (error, address) => {
      clearTimeout(timer)
      if (error !== undefined) return socket.destroy()
      socket.off('error', ignore)
      if (arrival.admit(address)) enter()
    })
  })
  return await listen(server, options)
}

export interface WebSocketOptions extends ListenOptions {
  /** The proxy in front says in a header where a connection comes from. */
  trustProxy: boolean
  /** Of pages. Undefined: of the same host name at JSON_PATH, any at MQTT_PATH. */
  allowedOrigins?: string[]
  tls?: Certificate
}

/** MQTT has frames of its own; JSON WebSockets are upgraded by their door. */
export interface WebSocketReception extends Reception {
  acceptJson (request: IncomingMessage, socket: Duplex, head: Buffer, arrival: Arrival): void
}

export async function startWebSocketServer (
  options: WebSocketOptions, { arrive, accept, acceptJson }: WebSocketReception
): Promise<ListeningServer> {
  const http = createHttpServer((_, response) => {
    response.writeHead(426, { upgrade: 'websocket', 'content-type': 'text/plain' })
      .end(`MQTT over WebSocket is at ${MQTT_PATH}, JSON at ${JSON_PATH}\n`)
  })
  const sockets = new WebSocketServer({
    noServer: true,
    maxPayload: MAX_FRAME_BYTES,
    perMessageDeflate: false,
    handleProtocols: offered => MQTT_SUBPROTOCOLS.find(protocol => offered.has(protocol)) ?? false
  })
  sockets.on('wsClientError', (_, socket) => socket.destroy())
  const arrivals = new WeakMap<Duplex, Arrival>()
  const arriveAt = (socket: Socket): Arrival | undefined => {
    const arrival = arrive(socket)
    arrivals.set(socket, arrival)
    return options.trustProxy || arrival.admit(socket.remoteAddress) ? arrival : undefined
  }
  http.on('upgrade', (request, socket, head) => {
    socket.on('error', () => socket.destroy())
    const arrival = arrivals.get(socket)!
    if (options.trustProxy && !arrival.admit(forwardedFor(request) ?? request.socket.remoteAddress)) return
    const refuse = (status: string): void => {
      socket.end(`HTTP/1.1 ${status}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n`)
    }
    const path = request.url?.split('?', 1)[0]
    if (path !== MQTT_PATH && path !== JSON_PATH) return refuse('404 Not Found')
    const anyPage = path === MQTT_PATH && options.allowedOrigins === undefined
    if (!anyPage && !isAllowedOrigin(request.headers, options.allowedOrigins)) return refuse('403 Forbidden')
    if (path === JSON_PATH) return acceptJson(request, socket, head, arrival)
    sockets.handleUpgrade(request, socket, head, socket => accept(createWebSocketStream(socket), arrival))
  })
  if (options.tls === undefined) {
    http.on('connection', arriveAt)
    return await listen(http, options)
  }
  const secure = createSecure(options.tls)
  const server = createTcpServer({ noDelay: true, keepAlive: true }, socket => {
    const arrival = arriveAt(socket)
    if (arrival === undefined) return
    secure(socket, secured => {
      arrivals.set(secured, arrival)
      http.emit('connection', secured)
    })
  })
  return await listen(server, options)
}

/** The last entry is our proxy's own; those before it are what the client claims. */
function forwardedFor ({ headers }: IncomingMessage): string | undefined {
  const address = headers['x-forwarded-for']?.toString().split(',').at(-1)?.trim() ?? ''
  return isIP(address) === 0 ? undefined : address
}

async function listen (
  server: TcpServer | HttpServer, { host, port, variable }: ListenOptions
): Promise<ListeningServer> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      reject(error.code === 'EADDRINUSE'
        ? new Error(`port ${port} is already in use: stop what uses it, or set ${variable} ` +
          'to another port (0 for any free one)')
        : error)
    })
    server.listen({ host, port, backlog: BACKLOG }, resolve)
  })
  server.removeAllListeners('error')
  return {
    port: (server.address() as AddressInfo).port,
    // Connections that are open are not waited for: the broker closes them.
    [Symbol.asyncDispose]: async () => { server.close() }
  }
}
