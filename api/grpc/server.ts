/**
 * The gRPC door: message.proto, health (grpc.health.v1) and reflection.
 *
 * Stopping: health says so, the server takes no new connections, streams end with UNAVAILABLE, running calls
 * are finished, then the connections end.
 */
import {
  logVerbosity, Server, ServerCredentials, setLogVerbosity, type ServerInterceptor, type ServerOptions
} from '@grpc/grpc-js'
import { ReflectionService } from '@grpc/reflection'
import { type Logger } from 'pino'
import { withinMs } from '../../core/deadline.ts'
import { type Messaging } from '../../messaging/start.ts'
import { type TlsCertificate } from '../app.ts'
import { type Overload } from '../limits/overload.ts'
import { type RateLimiter } from '../limits/rate-limits.ts'
import { type Address } from '../listen.ts'
import { createCalls } from './calls.ts'
import { MESSAGE_SERVICE, PACKAGE } from './definition.ts'
import { startHealth } from './health.ts'
import { requireHttp2Streams, watchHttp2Streams } from './http2-streams.ts'
import { messageService } from './message-service.ts'
import { createMessageStreams } from './message-streams.ts'
import { countRefusedCall } from './metrics.ts'

/** As a body over HTTP. */
const MAX_REQUEST_BYTES = 256 * 1024
/** Calls and streams of one connection; a client that needs more opens another one. */
const MAX_CONCURRENT_CALLS = 128
/** Of one connection, what HTTP/2 keeps for all its streams; beyond it, new ones are refused. */
const MAX_CONNECTION_MEGABYTES = 16
const PINGS: GrpcPings = { pingAfterMs: 60_000, pongWithinMs: 20_000 }
/** Calls that run when the server stops have so long. */
const FINISH_WITHIN_MS = 10_000
/** Answers that were given have so long to reach their clients. */
const FLUSH_WITHIN_MS = 500

const optionsWith = (
  { pingAfterMs, pongWithinMs }: GrpcPings, interceptor: ServerInterceptor
): ServerOptions => ({
  interceptors: [interceptor],
  'grpc.max_receive_message_length': MAX_REQUEST_BYTES,
  'grpc.max_concurrent_streams': MAX_CONCURRENT_CALLS,
  'grpc.keepalive_time_ms': pingAfterMs,
  'grpc.keepalive_timeout_ms': pongWithinMs,
  'grpc-node.max_session_memory': MAX_CONNECTION_MEGABYTES
})

// What it would write to stderr, it also says to those who call it.
setLogVerbosity(logVerbosity.NONE)

/** How a peer that is gone without a word is missed. */
export interface GrpcPings { pingAfterMs: number, pongWithinMs: number }

export interface GrpcDeps {
  messaging: Messaging
  limiter: Pick<RateLimiter, 'admitAddress' | 'admitUser'>
  overload: Pick<Overload, 'admit'>
  tls?: TlsCertificate
  trustProxy: boolean
  pings?: GrpcPings
  log: Logger
}

export interface GrpcServer extends AsyncDisposable {
  port: number
  /** Health says NOT_SERVING from here on; calls are answered as before. */
  leave (): void
}

/** Throws an Error that names the port and its variable when the port is taken. */
export async function startGrpc (
  address: Address, { messaging, limiter, overload, tls, trustProxy, pings = PINGS, log }: GrpcDeps
): Promise<GrpcServer> {
  requireHttp2Streams()
  const { authentication, refusals } = messaging
  const http2 = watchHttp2Streams(countRefusedCall)
  const calls = createCalls({ authentication, refusals, limiter, overload, http2, trustProxy, log })
  const streams = createMessageStreams(messaging.feeds, http2)
  const server = new Server(optionsWith(pings, http2.interceptor))
  server.addService(MESSAGE_SERVICE, messageService(messaging, calls, streams))
  new ReflectionService(PACKAGE).addToServer(server)
  const health =
    startHealth(server, { services: ['message.MessageService'], awayMs: messaging.database.awayMs })
  const port = await bind(server, address, credentialsOf(tls)).catch((error: unknown) => {
    health.leave()
    throw error
  })

  return {
    port,
    leave: health.leave,
    async [Symbol.asyncDispose] () {
      health.leave()
      const closed = new Promise<void>(resolve => server.tryShutdown(() => resolve()))
      streams.end()
      await withinMs(FINISH_WITHIN_MS, calls.finished())
      // Those who watch the health would keep their connections for ever.
      await withinMs(FLUSH_WITHIN_MS, closed)
      server.forceShutdown()
    }
  }
}

const credentialsOf = (tls: TlsCertificate | undefined): ServerCredentials => tls === undefined
  ? ServerCredentials.createInsecure()
  : ServerCredentials.createSsl(null, [{ cert_chain: tls.cert, private_key: tls.key }])

async function bind (
  server: Server, { host, port }: Address, credentials: ServerCredentials
): Promise<number> {
  const authority = host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
  return await new Promise((resolve, reject) => {
    server.bindAsync(authority, credentials, (error, bound) => {
      if (error === null) return resolve(bound)
      const reason = error.message.includes('EADDRINUSE') ? 'it is in use' : error.message
      reject(new Error(`cannot listen for gRPC on port ${port} (GRPC_PORT): ${reason}`, { cause: error }))
    })
  })
}
