/**
 * The REST door. The list in `registerRoutes` is its table of contents.
 *
 * Stopping: no new connections, long polls answer at once with what they have,
 * running requests are finished, uploads and downloads cut off after a while,
 * then the connections end.
 */
import { type Logger } from 'pino'
import { type Attachments } from '../messaging/attachments/attachments.ts'
import { type Messaging } from '../messaging/start.ts'
import { createApp, type App } from './app.ts'
import { requireToken } from './authentication.ts'
import { serveDocumentation } from './contract/documentation.ts'
import { createLongPolls, type LongPolls } from './long-poll.ts'
import { listen, type Address } from './listen.ts'
import { refuseOverload, type OverloadLimits } from './limits/overload.ts'
import { limitRates, type LimitedApp, type RateLimits } from './limits/rate-limits.ts'
import { adminRoutes } from './routes/admin/admin.ts'
import { attachmentRoutes, type TransferLimits } from './routes/attachments.ts'
import { blockRoutes } from './routes/blocks.ts'
import { conversationRoutes } from './routes/conversations.ts'
import { deviceRoutes } from './routes/devices.ts'
import { healthRoutes } from './routes/health.ts'
import { inboxRoutes } from './routes/inbox.ts'
import { messageChangeRoutes } from './routes/message-changes.ts'
import { messageVersionRoutes } from './routes/admin/message-versions.ts'
import { messageRoutes } from './routes/messages.ts'
import { metricsRoute } from './routes/metrics.ts'
import { participantRoutes } from './routes/participants.ts'
import { reactionRoutes } from './routes/reactions.ts'
import { searchRoutes } from './routes/search.ts'
import { userRoutes } from './routes/users.ts'
import { type Readiness } from './contract/schemas.ts'
import { limitTransfers } from './limits/transfers.ts'
import { UPLOAD_PACE, type UploadPace } from './attachments/upload-form.ts'

const UPLOADS = { perUser: 4, inAll: 32 }
const DOWNLOADS = { perUser: 16, inAll: 512 }
/** What is left of uploads and downloads when the server stops has so long to end. */
const TRANSFERS_END_WITHIN_MS = 5_000

export interface ApiDeps {
  messaging: Messaging
  attachments: Attachments
  log: Logger
  ready: () => Promise<Readiness>
  /** The proxy in front is believed where a request comes from. */
  trustProxy?: boolean
  /** None by default. */
  rateLimits?: RateLimits
  overload?: OverloadLimits
  uploadPace?: UploadPace
}
export interface ApiServer extends AsyncDisposable { port: number }

/** Throws an Error that names the port and its variable when it cannot listen there. Port 0 is any free one. */
export async function startApi (address: Address, deps: ApiDeps): Promise<ApiServer> {
  const { messaging, log, trustProxy = false, rateLimits = { requests: 0, sends: 0 } } = deps
  const app = createApp(log, { trustProxy })
  const polls = createLongPolls(messaging.wakes)
  const uploads = limitTransfers('uploads', UPLOADS)
  const downloads = limitTransfers('downloads', DOWNLOADS)
  const requests = countRequests(app)
  const limits = await limitRates(app, rateLimits, log)
  await serveDocumentation(app)
  registerRoutes(app, deps, { uploads, downloads, pace: deps.uploadPace ?? UPLOAD_PACE }, polls, limits)
  const port = await listen(app, address)

  return {
    port,
    async [Symbol.asyncDispose] () {
      polls.end()
      const closed = app.close()
      const timer =
        setTimeout(() => [uploads, downloads].forEach(transfers => transfers.end()), TRANSFERS_END_WITHIN_MS)
      await requests.finished()
      clearTimeout(timer)
      // What is left are connections without a request: kept alive, or opened and never used.
      app.server.closeAllConnections()
      await closed
    }
  }
}

function registerRoutes (
  app: App, { messaging, attachments, ready, overload }: ApiDeps, transfers: TransferLimits, polls: LongPolls,
  limits: LimitedApp
): void {
  healthRoutes(app, ready)
  metricsRoute(app)
  app.register(async api => {
    await refuseOverload(api, overload)
    requireToken(api, messaging.authentication)
    limits.limitUsers(api)
    messageRoutes(api, messaging)
    searchRoutes(api, messaging)
    messageChangeRoutes(api, messaging)
    reactionRoutes(api, messaging)
    conversationRoutes(api, messaging)
    participantRoutes(api, messaging)
    attachmentRoutes(api, attachments, transfers)
    inboxRoutes(api, messaging, polls)
    deviceRoutes(api, messaging)
    userRoutes(api, messaging)
    blockRoutes(api, messaging)
    api.register(async admin => {
      adminRoutes(admin, messaging)
      messageVersionRoutes(admin, messaging)
    }, { prefix: '/admin' })
  }, { prefix: '/api/v1' })
}

/** Counts the requests that are being answered. */
function countRequests (app: App): { finished: () => Promise<void> } {
  let running = 0
  let idle: (() => void) | undefined
  app.addHook('onRequest', async (_request, reply) => {
    running++
    // Not the onResponse hook: that one is never called when the client has gone.
    reply.raw.once('close', () => { if (--running === 0) idle?.() })
  })
  return { finished: () => running === 0 ? Promise.resolve() : new Promise(resolve => { idle = resolve }) }
}
