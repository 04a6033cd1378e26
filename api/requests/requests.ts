/**
 * Requests under way: each is given its id, counted, timed and, at debug level, logged.
 *
 * One hook without a promise and one listener per request: at thousands of requests a second both show in a
 * profile.
 */
import { type FastifyInstance } from 'fastify'
import { type Logger } from 'pino'
import { requestSeconds, requestsTotal } from '../metrics.ts'
import { REQUEST_ID_HEADER } from '../request-id.ts'
import { watchBody } from './slow-bodies.ts'

export interface Requests {
  /** Resolves when no request is being answered. */
  finished (): Promise<void>
}

/** Follows what is asked of `app` from here on, also what a later hook refuses. */
export function followRequests (app: Pick<FastifyInstance, 'addHook'>, log: Logger): Requests {
  let running = 0
  let idle: (() => void) | undefined

  app.addHook('onRequest', (request, reply, next) => {
    const startedAt = performance.now()
    running++
    reply.header(REQUEST_ID_HEADER, request.id)
    const release = watchBody(request)
    // Not the onResponse hook: Fastify never calls it when the client has gone.
    reply.raw.once('close', () => {
      release?.()
      const { url } = request.routeOptions
      // The client invents the paths and methods that no route takes: they must not become labels.
      const [method, route] = url === undefined ? ['any', 'unknown'] : [request.method, url]
      const status = reply.raw.writableFinished ? reply.statusCode : 'aborted'
      const seconds = (performance.now() - startedAt) / 1_000
      requestsTotal.inc({ method, route, status })
      requestSeconds.observe({ method, route }, seconds)
      if (log.isLevelEnabled('debug')) {
        request.log.debug({ method, route, status, ms: Math.round(seconds * 1_000) }, 'a request is answered')
      }
      if (--running === 0) idle?.()
    })
    next()
  })

  return { finished: () => running === 0 ? Promise.resolve() : new Promise(resolve => { idle = resolve }) }
}
