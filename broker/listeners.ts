/** Where devices come in: MQTT over TCP, and over WebSocket at `/mqtt`. */
import { createServer as createHttpServer, type Server as HttpServer } from 'node:http'
import { createServer as createTcpServer, type AddressInfo, type Server as TcpServer } from 'node:net'
import { type Duplex } from 'node:stream'
import { WebSocketServer, createWebSocketStream } from 'ws'

export const MQTT_PATH = '/mqtt'
const MAX_FRAME_BYTES = 256 * 1024
const MQTT_SUBPROTOCOLS = ['mqtt', 'mqttv3.1'] // [MQTT-6.0.0-3]

export interface Listener extends AsyncDisposable { port: number }

export interface ListenOptions { host: string, port: number, variable: string }

export async function listenTcp (options: ListenOptions, accept: (connection: Duplex) => void): Promise<Listener> {
  const server = createTcpServer({ noDelay: true, keepAlive: true }, accept)
  return await listen(server, options)
}

export async function listenWebSocket (options: ListenOptions, accept: (connection: Duplex) => void): Promise<Listener> {
  const server = createHttpServer((_, response) => {
    response.writeHead(426, { upgrade: 'websocket', 'content-type': 'text/plain' }).end(`MQTT over WebSocket is at ${MQTT_PATH}\n`)
  })
  const sockets = new WebSocketServer({
    noServer: true,
    maxPayload: MAX_FRAME_BYTES,
    perMessageDeflate: false,
    handleProtocols: offered => MQTT_SUBPROTOCOLS.find(protocol => offered.has(protocol)) ?? false
  })
  sockets.on('wsClientError', (_, socket) => socket.destroy())
  server.on('upgrade', (request, socket, head) => {
    socket.on('error', () => socket.destroy())
    if (request.url?.split('?', 1)[0] !== MQTT_PATH) {
      socket.end('HTTP/1.1 404 Not Found\r\nconnection: close\r\n\r\n')
      return
    }
    sockets.handleUpgrade(request, socket, head, socket => accept(createWebSocketStream(socket)))
  })
  return await listen(server, options)
}

async function listen (server: TcpServer | HttpServer, { host, port, variable }: ListenOptions): Promise<Listener> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      reject(error.code === 'EADDRINUSE'
        ? new Error(`port ${port} is already in use: stop what uses it, or set ${variable} to another port (0 for any free one)`)
        : error)
    })
    server.listen({ host, port }, resolve)
  })
  server.removeAllListeners('error')
  return {
    port: (server.address() as AddressInfo).port,
    // Connections that are open are not waited for: the broker closes them.
    [Symbol.asyncDispose]: async () => { server.close() }
  }
}
