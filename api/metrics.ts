/** What HTTP measures, and what every Node process does. */
import { type Logger } from 'pino'
import { collectDefaultMetrics, Counter, Histogram } from 'prom-client'
import { type App } from './app.ts'

collectDefaultMetrics()

const SECONDS = [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30]

const requestsTotal = new Counter({
  name: 'echo_http_requests_total',
  help: 'Requests by method, route pattern and status; `aborted`: the client had gone',
  labelNames: ['method', 'route', 'status']
})
const requestSeconds = new Histogram({
  name: 'echo_http_request_seconds',
  help: 'From the head of a request to the end of its answer; a long poll takes as long as its client wants',
  labelNames: ['method', 'route'],
  buckets: SECONDS
})
export const rateLimitedTotal = new Counter({
  name: 'echo_http_rate_limited_total',
  help: 'Requests refused with 429, by limit: address, user, sends',
  labelNames: ['limit']
})
export const overloadedTotal = new Counter({
  name: 'echo_http_overloaded_total',
  help: 'Requests refused early with 503, by what was too much',
  labelNames: ['reason']
})

/** Counts, times and at debug level logs what is asked of `app` from here on. */
export function followRequests (app: App, log: Logger): void {
  app.addHook('onRequest', async (request, reply) => {
    const startedAt = performance.now()
    // Not the onResponse hook: that one is never called when the client has gone.
    reply.raw.once('close', () => {
      const { url } = request.routeOptions
      // Paths and methods of no route are the client's invention.
      const [method, route] = url === undefined ? ['any', 'unknown'] : [request.method, url]
      const status = reply.raw.writableFinished ? reply.statusCode : 'aborted'
      const seconds = (performance.now() - startedAt) / 1_000
      requestsTotal.inc({ method, route, status })
      requestSeconds.observe({ method, route }, seconds)
      if (log.isLevelEnabled('debug')) {
        request.log.debug({ method, route, status, ms: Math.round(seconds * 1_000) }, 'a request is answered')
      }
    })
  })
}
