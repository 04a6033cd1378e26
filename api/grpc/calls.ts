/**
 * Calls under way: whose they are, what they are allowed, and how they are counted, answered and logged.
 *
 *   request id      the client's own, else a new one; the answer carries it
 *   address         may call so often
 *   overload        the process can do it in time
 *   token           whose call it is
 *   user            may call, and send, so often
 */
import {
  Metadata, status, type handleServerStreamingCall, type handleUnaryCall, type ServerUnaryCall,
  type ServerWritableStream
} from '@grpc/grpc-js'
import { type Logger } from 'pino'
import { type Identity } from '../../core/identity.ts'
import { type Authentication } from '../../messaging/access/authentication.ts'
import { type Refusals } from '../../messaging/access/refusals.ts'
import { countTurnedAway } from '../../messaging/send/trace.ts'
import { identify } from '../authentication.ts'
import { loggable } from '../contract/problems.ts'
import { type Overload } from '../limits/overload.ts'
import { type RateLimiter } from '../limits/rate-limits.ts'
import { REQUEST_ID_HEADER, REQUEST_ID_LABEL, requestIdOf } from '../request-id.ts'
import { type Http2Streams } from './http2-streams.ts'
import { callSeconds, callsTotal } from './metrics.ts'
import { Failure, failureOf } from './statuses.ts'

type Call = Pick<ServerUnaryCall<any, any> | ServerWritableStream<any, any>,
  'metadata' | 'getPeer' | 'cancelled' | 'sendMetadata'>

export interface Caller {
  identity: Identity
  address: string
  requestId: string
  /** The text of a request's metadata, as Node gives headers. */
  headers: Record<string, string>
  /** Sends the first metadata: a stream has begun. */
  greet: () => void
}

export interface Calls {
  unary<Request, Response> (
    method: string, options: { sends?: true }, answer: (request: Request, caller: Caller) => Promise<Response>
  ): handleUnaryCall<Request, Response>
  /** `follow` resolves or throws when the stream has ended: with the status that ended it, if it was one. */
  streaming<Request, Response> (
    method: string,
    follow: (call: ServerWritableStream<Request, Response>, caller: Caller) => Promise<Failure | undefined>
  ): handleServerStreamingCall<Request, Response>
  /** Resolves when no call is being answered. */
  finished (): Promise<void>
}

export function createCalls ({ authentication, refusals, limiter, overload, http2, trustProxy, log }: {
  authentication: Pick<Authentication, 'authenticate'>
  refusals: Pick<Refusals, 'note'>
  limiter: Pick<RateLimiter, 'admitAddress' | 'admitUser'>
  overload: Pick<Overload, 'admit'>
  http2: Pick<Http2Streams, 'begun'>
  trustProxy: boolean
  log: Logger
}): Calls {
  let running = 0
  let idle: (() => void) | undefined

  async function admit (call: Call, caller: Caller, sends: boolean): Promise<void> {
    await limiter.admitAddress(caller.address)
    overload.admit()
    caller.identity = await identify(authentication, caller.headers.authorization)
    await limiter.admitUser(caller.identity.userId, sends)
  }

  /** Runs `work` for a call and tells of its end. */
  async function follow<T> (
    method: string, call: Call, work: (caller: Caller) => Promise<T>
  ): Promise<{ result: T } | { failure: Failure }> {
    http2.begun(call)
    const startedAt = performance.now()
    const headers = headersOf(call.metadata)
    const requestId = requestIdOf({ headers })
    const id = { [REQUEST_ID_LABEL]: requestId }
    const caller = {
      address: addressOf(call, headers, trustProxy),
      requestId,
      headers,
      greet: () => call.sendMetadata(metadataOf({ [REQUEST_ID_HEADER]: requestId }))
    } as Caller
    running++
    let code: status = status.OK
    try {
      return { result: await work(caller) }
    } catch (error) {
      const failure = failureOf(error, err =>
        log.error({ err: loggable(err), method, ...id }, 'a call failed unexpectedly'))
      failure.metadata.set(REQUEST_ID_HEADER, requestId)
      code = failure.code
      if (code === status.UNAUTHENTICATED) {
        const { address, headers: { 'x-device-id': clientId } } = caller
        refusals.note({ door: 'grpc', address, clientId, code: 'UNAUTHENTICATED', reason: failure.details })
      }
      return { failure }
    } finally {
      if (call.cancelled) code = status.CANCELLED
      callsTotal.inc({ method, status: status[code] })
      if (log.isLevelEnabled('debug')) {
        const ms = Math.round(performance.now() - startedAt)
        log.debug({ method, status: status[code], ms, ...id }, 'a call is answered')
      }
      if (--running === 0) idle?.()
    }
  }

  return {
    unary: (method, { sends = false }, answer) => (call, done) => {
      const stop = callSeconds.startTimer({ method })
      const answered = follow(method, call, async caller => {
        await admit(call, caller, sends).catch((error: unknown) => {
          if (sends) countTurnedAway('grpc', error)
          throw error
        })
        if (call.cancelled) throw new Failure(status.CANCELLED, 'cancelled', 'the client has gone')
        const result = await answer(call.request, caller)
        caller.greet()
        return result
      })
      answered.then(outcome => {
        stop()
        if ('failure' in outcome) done(outcome.failure)
        else done(null, outcome.result)
      }, done)
    },
    streaming: (method, run) => call => {
      const ended = follow(method, call, async caller => {
        await admit(call, caller, false)
        const failure = await run(call, caller)
        if (failure !== undefined) throw failure
      })
      ended.then(outcome => {
        if ('failure' in outcome) call.emit('error', outcome.failure)
        else call.end()
      }, error => call.emit('error', error))
    },
    finished: () => running === 0 ? Promise.resolve() : new Promise(resolve => { idle = resolve })
  }
}

/** Binary metadata have no text. */
const headersOf = (metadata: Metadata): Record<string, string> =>
  Object.fromEntries(Object.entries(metadata.getMap()).filter(([, value]) => typeof value === 'string')) as
    Record<string, string>

function metadataOf (entries: Record<string, string>): Metadata {
  const metadata = new Metadata()
  for (const [key, value] of Object.entries(entries)) metadata.set(key, value)
  return metadata
}

/** One hop, as over HTTP: what stands further left is what the client claims. */
function addressOf (call: Call, headers: Record<string, string>, trustProxy: boolean): string {
  const forwarded = trustProxy ? headers['x-forwarded-for']?.split(',').at(-1)?.trim() : undefined
  return forwarded ?? call.getPeer().replace(/:\d+$/, '').replace(/^\[|\]$/g, '')
}
