/** What the bridge tells Prometheus, in prom-client's global registry. */
import { Counter, Gauge } from 'prom-client'

/** Counted by every bridge for the whole database: take the maximum over bridges, not the sum. */
export const dueRows = new Gauge({ name: 'echo_push_due_rows', help: 'Users who are due for a push now' })
export const oldestDueSeconds = new Gauge({
  name: 'echo_push_oldest_due_seconds', help: 'For how long the longest waiting of them has been due'
})

export const sentPushes = new Counter({
  name: 'echo_push_sent_total', help: 'Pushes the push service has taken', labelNames: ['kind'] as const
})
export const cancelledPushes = new Counter({
  name: 'echo_push_cancelled_total',
  help: 'Claimed users with nothing (any more) to tell: read or acknowledged, muted, expired'
})
export const failedPushes = new Counter({
  name: 'echo_push_failed_total',
  help: 'Pushes the push service has not taken',
  labelNames: ['reason'] as const
})
export const removedTokens = new Counter({
  name: 'echo_push_tokens_removed_total', help: 'Push tokens that led nowhere and were forgotten'
})
export const suspicions = new Counter({
  name: 'echo_push_suspicious_batches_total',
  help: 'Batches in which every token was said to be gone, and none was forgotten'
})
export const paused = new Gauge({ name: 'echo_push_paused', help: '1 while the bridge sends nothing' })
export const rateLimit = new Gauge({
  name: 'echo_push_rate_limit', help: 'Pushes per second the bridge allows itself after a 429; 0: no limit'
})
