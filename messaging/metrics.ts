/** What messaging measures of sends, deliveries, acknowledgements and what they stand on. */
import { Counter, Histogram } from 'prom-client'
import { findAppError } from '../core/errors.ts'
import { type Database } from '../store/database.ts'
import { type Cluster } from './cluster/cluster.ts'
import { type Connections } from './deliver/connections.ts'
import { type Feeds } from './deliver/feeds.ts'
import { gaugesOver } from './gauges.ts'
import { type TrackedSessions } from './deliver/tracked-sessions.ts'

const COUNTS = [1, 2, 5, 10, 25, 50, 100, 250, 500]
const COMMIT_S = [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15]
/** From a phone that is connected to one that was away for days. */
const DELIVERY_S = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 600, 3_600, 86_400]

export const sendsTotal = new Counter({
  name: 'echo_sends_total',
  help: 'Messages by door and outcome: stored, repeated, refused for good, failed for now',
  labelNames: ['door', 'outcome']
})
export const sendBatchMessages =
  new Histogram({ name: 'echo_send_batch_messages', help: 'Messages committed together', buckets: COUNTS })
export const batchesDecidedAgain = new Counter({
  name: 'echo_batches_decided_again_total',
  help: 'Batches that the database refused because somebody else had changed their rows, or after a deadlock'
})
export const sendCommitSeconds = new Histogram({
  name: 'echo_send_commit_seconds', help: 'Time to commit one batch of messages', buckets: COMMIT_S
})
export const deliverySeconds = new Histogram({
  name: 'echo_delivery_seconds',
  help:
    'From a message being stored to the first acknowledgement by its recipient was recorded; of messages acknowledged together, the oldest',
  buckets: DELIVERY_S
})
export const flushDevices = new Histogram({
  name: 'echo_acknowledgement_flush_devices',
  help: 'Devices whose acknowledgements are written together',
  buckets: COUNTS
})
export const flushSeconds = new Histogram({
  name: 'echo_acknowledgement_flush_seconds', help: 'Time to write acknowledgements', buckets: COMMIT_S
})
export const readsTotal = new Counter({
  name: 'echo_reads_total',
  help: 'Read receipts by outcome: stored, refused for good, failed for now',
  labelNames: ['outcome']
})
export const receiptsTotal =
  new Counter({ name: 'echo_receipts_total', help: 'Receipts told to senders', labelNames: ['type'] })

export const outcomeOf = (error: unknown): 'refused' | 'failed' =>
  findAppError(error)?.transient === false ? 'refused' : 'failed'

export interface MessagingParts {
  database: Pick<Database, 'pools' | 'awayMs'>
  sends: { waiting (): number }
  acknowledgements: { waiting (): number }
  sessions: Pick<TrackedSessions, 'all' | 'count'>
  connections: Pick<Connections, 'users'>
  feeds: Pick<Feeds, 'all'>
  cluster: Pick<Cluster, 'state'>
}

const systems = gaugesOver<MessagingParts>()
/** Shows the state of a system until the returned function is called. */
export const showParts = systems.add

const lags = ({ sessions }: MessagingParts): number[] =>
  Array.from(sessions.all(), ({ pump }) => Math.max(0, pump.knownSeq - pump.ackedSeq))
const largest = (values: Iterable<number>): number => {
  let max = 0
  for (const value of values) max = Math.max(max, value)
  return max
}

systems.gauge({
  name: 'echo_sends_waiting', help: 'Messages that wait for a batch', of: ({ sends }) => sends.waiting()
})
systems.gauge({
  name: 'echo_acknowledgements_waiting',
  help: 'Devices whose acknowledgement is to be written',
  of: ({ acknowledgements }) => acknowledgements.waiting()
})
systems.gauge({
  name: 'echo_connected_users',
  help: 'Users with a connection to this process',
  of: ({ connections }) => connections.users()
})
systems.gauge({
  name: 'echo_pumps',
  help: 'Sessions that receive their inbox and acknowledge it',
  of: ({ sessions }) => sessions.count()
})
systems.gauge({
  name: 'echo_pump_lag_events',
  help: 'Events known but not acknowledged, over all pumps',
  of: parts => lags(parts).reduce((total, lag) => total + lag, 0)
})
systems.gauge({
  name: 'echo_pump_lag_events_max',
  help: 'Events known but not acknowledged, of the pump that is furthest behind',
  of: parts => largest(lags(parts)),
  over: largest
})
systems.gauges({
  name: 'echo_feeds',
  help: 'Streams that follow an inbox and acknowledge nothing, by door: sse, grpc',
  labelNames: ['door'],
  of: ({ feeds }) => {
    const open = [...feeds.all()]
    return (['sse', 'grpc'] as const)
      .map(door => ({ labels: { door }, value: open.filter(feed => feed.door === door).length }))
  }
})
systems.gauge({
  name: 'echo_redis_away',
  help: '1 while Redis is configured and does not answer',
  of: ({ cluster }) => cluster.state() === 'away' ? 1 : 0
})
systems.gauge({
  name: 'echo_database_away',
  help: '1 while PostgreSQL cannot be reached or does not answer',
  of: ({ database }) => database.awayMs() > 0 ? 1 : 0
})
systems.gauges({
  name: 'echo_database_connections',
  help: 'Connections to PostgreSQL by pool and state: idle, busy',
  labelNames: ['pool', 'state'],
  of: ({ database }) => database.pools().flatMap(({ name: pool, total, idle }) => [
    { labels: { pool, state: 'idle' }, value: idle }, { labels: { pool, state: 'busy' }, value: total - idle }
  ])
})
systems.gauges({
  name: 'echo_database_waiting',
  help: 'Queries and transactions that wait for a connection',
  labelNames: ['pool'],
  of: ({ database }) =>
    database.pools().map(({ name: pool, waiting: value }) => ({ labels: { pool }, value }))
})
