/** What HTTP measures, and what every Node process does. */
import { collectDefaultMetrics, Counter, Histogram } from 'prom-client'

/** How often it is looked how late the event loop is: each 10 ms would take 0.003 of a core when idle. */
const LAG_EVERY_MS = 100

collectDefaultMetrics({ eventLoopMonitoringPrecision: LAG_EVERY_MS })

const SECONDS = [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30]

export const requestsTotal = new Counter({
  name: 'echo_http_requests_total',
  help: 'Requests by method, route pattern and status; `aborted`: the client had gone',
  labelNames: ['method', 'route', 'status']
})
export const requestSeconds = new Histogram({
  name: 'echo_http_request_seconds',
  help: 'From the head of a request to the end of its answer; a long poll takes as long as its client wants',
  labelNames: ['method', 'route'],
  buckets: SECONDS
})
export const rateLimitedTotal = new Counter({
  name: 'echo_http_rate_limited_total',
  help: 'Requests and calls refused (429, RESOURCE_EXHAUSTED), by limit: address, user, sends, people, names, files',
  labelNames: ['limit']
})
export const overloadedTotal = new Counter({
  name: 'echo_http_overloaded_total',
  help: 'Requests and calls refused early (503, UNAVAILABLE), by what was too much',
  labelNames: ['reason']
})
