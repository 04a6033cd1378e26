/**
 * The REST door. The list in `registerRoutes` is its table of contents.
 *
 * Stopping: the server takes no new connections, long polls answer at once with
 * what they have, event streams end, running requests are finished, uploads and downloads are cut
 * off after a while, then the connections end.
 */
import { type Logger } from 'pino'
import { type Attachments } from '../messaging/attachments/attachments.ts'
import { type Messaging } from '../messaging/start.ts'
import { createApp, type App, type TlsCertificate } from './app.ts'
import { requireToken } from './authentication.ts'
import { UPLOAD_PACE, type UploadPace } from './attachments/upload-form.ts'
import { serveDocumentation } from './contract/documentation.ts'
import { type Readiness } from './contract/schemas.ts'
import { createOverload, type Overload, type OverloadLimits } from './limits/overload.ts'
import { createRateLimiter, type RateLimiter, type RateLimits } from './limits/rate-limits.ts'
import { createTransfers } from './limits/transfers.ts'
import { listen, type Address } from './listen.ts'
import { createEventStreams, type EventStreams } from './event-streams.ts'
import type { GrpcPings, GrpcServer, startGrpc } from './grpc/server.ts'
import { createLongPolls, type LongPolls } from './long-poll.ts'
import { servePages, type Pages } from './pages/pages.ts'
import { compressAnswers } from './requests/compression.ts'
import { refuseUnknownParameters } from './requests/validation.ts'
import { adminRoutes } from './routes/admin/admin.ts'
import { attachmentRoutes, type TransferLimits } from './routes/attachments.ts'
import { blockRoutes } from './routes/blocks.ts'
import { conversationRoutes } from './routes/conversations.ts'
import { deviceRoutes } from './routes/devices.ts'
import { draftRoutes } from './routes/drafts.ts'
import { eventRoutes } from './routes/events.ts'
import { inboxRoutes } from './routes/inbox.ts'
import { messageChangeRoutes } from './routes/message-changes.ts'
import { messageRoutes } from './routes/messages.ts'
import { operationRoutes } from './routes/operations.ts'
import { participantRoutes } from './routes/participants.ts'
import { reactionRoutes } from './routes/reactions.ts'
import { searchRoutes } from './routes/search.ts'
import { userRoutes } from './routes/users.ts'

const UPLOADS = { perUser: 4, inAll: 32 }
const DOWNLOADS = { perUser: 16, inAll: 512 }
/** When the server stops, uploads and downloads under way have so long to end. */
const TRANSFERS_END_WITHIN_MS = 5_000

export interface ApiDeps {
  messaging: Messaging
  attachments: Attachments
  log: Logger
  ready: () => Promise<Readiness>
  /** The server believes the proxy in front where a request comes from. */
  trustProxy?: boolean
  /** Origins of pages that may use the API; none by default, `*` is any. */
  corsOrigins?: string[]
  /** With it, HTTP and gRPC speak TLS only. */
  tls?: TlsCertificate
  /** Where gRPC listens, on the address of HTTP; undefined: nowhere. */
  grpcPort?: number
  /** None by default. */
  rateLimits?: RateLimits
  /** The chat page and the console; none by default. */
  pages?: Pages
  overload?: OverloadLimits
  uploadPace?: UploadPace
  /** How often a stream without events shows that it lives. */
  heartbeatMs?: number
  grpcPings?: GrpcPings
}
export interface ApiServer extends AsyncDisposable {
  port: number
  grpcPort?: number
  /** Where readiness is not asked for, says that the process stops. */
  leave? (): void
}

/** Port 0 is any free one. Throws an Error that names the port and its variable when the port is taken. */
export async function startApi (address: Address, deps: ApiDeps): Promise<ApiServer> {
  const { messaging, log, trustProxy = false, tls, rateLimits = { requests: 0, sends: 0 } } = deps
  const { app, requests } = await createApp(log, { trustProxy, corsOrigins: deps.corsOrigins, tls })
  const polls = createLongPolls(messaging.wakes)
  const streams = createEventStreams(messaging.feeds, { heartbeatMs: deps.heartbeatMs })
  const uploads = createTransfers('uploads', UPLOADS)
  const downloads = createTransfers('downloads', DOWNLOADS)
  const limiter = await createRateLimiter(app, rateLimits, log)
  const overload = createOverload(app, deps.overload)
  await serveDocumentation(app)
  if (deps.pages !== undefined) await servePages(app, deps.pages, tls === undefined ? 'http' : 'https')
  const transfers = { uploads, downloads, pace: deps.uploadPace ?? UPLOAD_PACE }
  registerRoutes(app, deps, transfers, { polls, streams }, { limiter, overload })
  const port = await listen(app, address)
  const grpc = deps.grpcPort === undefined
    ? undefined
    : await openGrpc({ ...address, port: deps.grpcPort }, {
      messaging, limiter, overload, tls, trustProxy, pings: deps.grpcPings, log
    })
      .catch(async (error: unknown) => {
        await app.close()
        throw error
      })

  return {
    port,
    grpcPort: grpc?.port,
    leave: () => grpc?.leave(),
    async [Symbol.asyncDispose] () {
      polls.end()
      streams.end()
      const grpcClosed = grpc?.[Symbol.asyncDispose]()
      const closed = app.close()
      const timer =
        setTimeout(() => [uploads, downloads].forEach(transfers => transfers.end()), TRANSFERS_END_WITHIN_MS)
      await requests.finished()
      clearTimeout(timer)
      // The remaining connections have no request: they were kept alive, or opened and never used.
      app.server.closeAllConnections()
      await closed
      await grpcClosed
    }
  }
}

// Loaded by the processes that serve it.
async function openGrpc (...args: Parameters<typeof startGrpc>): Promise<GrpcServer> {
  const { startGrpc } = await import('./grpc/server.ts')
  return await startGrpc(...args)
}

function registerRoutes (
  app: App, { messaging, attachments, ready }: ApiDeps, transfers: Omit<TransferLimits, 'spend'>,
  { polls, streams }: { polls: LongPolls, streams: EventStreams },
  { limiter, overload }: { limiter: RateLimiter, overload: Overload }
): void {
  operationRoutes(app, ready)
  app.register(async api => {
    refuseUnknownParameters(api)
    compressAnswers(api)
    overload.refuseRequests(api)
    requireToken(api, messaging.authentication)
    limiter.limitUsers(api)
    messageRoutes(api, messaging)
    searchRoutes(api, messaging)
    messageChangeRoutes(api, messaging)
    reactionRoutes(api, messaging)
    conversationRoutes(api, messaging, limiter.spend)
    participantRoutes(api, messaging, limiter.spend)
    draftRoutes(api, messaging)
    attachmentRoutes(api, attachments, { ...transfers, spend: limiter.spend })
    inboxRoutes(api, messaging, polls)
    eventRoutes(api, streams)
    deviceRoutes(api, messaging)
    userRoutes(api, messaging, limiter.spend)
    blockRoutes(api, messaging)
    api.register(async admin => adminRoutes(admin, messaging), { prefix: '/admin' })
  }, { prefix: '/api/v1' })
}
