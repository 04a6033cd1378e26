/** Where devices come in: MQTT over TCP, and over WebSocket at `/mqtt`. */
import { createServer as createHttpServer, type IncomingMessage, type Server as HttpServer } from 'node:http'
import {
  createServer as createTcpServer, isIP, type AddressInfo, type Server as TcpServer, type Socket
} from 'node:net'
import { type Duplex } from 'node:stream'
import { WebSocketServer, createWebSocketStream } from 'ws'
import { type Arrival } from './arrival.ts'
import { readProxyHeader } from './proxy-protocol.ts'

export const MQTT_PATH = '/mqtt'
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

/** With `proxyProtocol` every connection begins with a header: a balancer says where it comes from. */
export async function startTcpServer (
  options: ListenOptions & { proxyProtocol: boolean }, { arrive, accept }: Reception
): Promise<ListeningServer> {
  const server = createTcpServer({ noDelay: true, keepAlive: true }, socket => {
    const arrival = arrive(socket)
    if (!options.proxyProtocol) {
      if (arrival.admit(socket.remoteAddress)) accept(socket, arrival)
      return
    }
    const ignore = (): void => {} // its close is what counts
    const timer = setTimeout(() => socket.destroy(), PROXY_HEADER_TIMEOUT_MS)
    socket.on('error', ignore).once('close', () => clearTimeout(timer))
    readProxyHeader(socket, (error, address) => {
      clearTimeout(timer)
      if (error !== undefined) socket.destroy()
      else if (arrival.admit(address)) accept(socket.off('error', ignore), arrival)
    })
  })
  return await listen(server, options)
}

/** With `trustProxy` the proxy in front says in a header where a connection comes from. */
export async function startWebSocketServer (
  options: ListenOptions & { trustProxy: boolean }, { arrive, accept }: Reception
): Promise<ListeningServer> {
  const server = createHttpServer((_, response) => {
    response.writeHead(426, { upgrade: 'websocket', 'content-type': 'text/plain' })
      .end(`MQTT over WebSocket is at ${MQTT_PATH}\n`)
  })
  const sockets = new WebSocketServer({
    noServer: true,
    maxPayload: MAX_FRAME_BYTES,
    perMessageDeflate: false,
    handleProtocols: offered => MQTT_SUBPROTOCOLS.find(protocol => offered.has(protocol)) ?? false
  })
  sockets.on('wsClientError', (_, socket) => socket.destroy())
  const arrivals = new WeakMap<Duplex, Arrival>()
  server.on('connection', socket => {
    const arrival = arrive(socket)
    arrivals.set(socket, arrival)
    if (!options.trustProxy) arrival.admit(socket.remoteAddress)
  })
  server.on('upgrade', (request, socket, head) => {
    socket.on('error', () => socket.destroy())
    const arrival = arrivals.get(socket)!
    if (options.trustProxy && !arrival.admit(forwardedFor(request) ?? request.socket.remoteAddress)) return
    if (request.url?.split('?', 1)[0] !== MQTT_PATH) {
      socket.end('HTTP/1.1 404 Not Found\r\nconnection: close\r\n\r\n')
      return
    }
    sockets.handleUpgrade(request, socket, head, socket => accept(createWebSocketStream(socket), arrival))
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
