/** What gRPC measures. */
import { Counter, Histogram } from 'prom-client'

export const callsTotal = new Counter({
  name: 'echo_grpc_calls_total',
  help: 'Calls that have ended, by method and status; CANCELLED: the client had gone or its deadline was over',
  labelNames: ['method', 'status']
})
export const callSeconds = new Histogram({
  name: 'echo_grpc_call_seconds',
  help: 'From a request to its answer, without streams',
  labelNames: ['method'],
  buckets: [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30]
})

const SERVICE = '/message.MessageService/'

/** Of a call that ended before Echo began with it. Health and reflection are not counted. */
export function countRefusedCall (path: string, code: string): void {
  if (path.startsWith(SERVICE)) callsTotal.inc({ method: path.slice(SERVICE.length), status: code })
}
