/** How far an own message has got, as a mark and in words. */
import type { Tick } from '@echo/client'

const WORDS: Record<Tick, string> = {
  waiting: 'Waiting', sent: 'Sent', delivered: 'Delivered', read: 'Read', failed: 'Not sent'
}

const PATHS: Record<Tick, string> = {
  waiting: 'M9 1.5a5.500 5.500 0 1 0 .01 0M9 4v3.200l2.200 1.300',
  sent: 'M4 7.500l3 3 6-7',
  delivered: 'M1 7.500l3 3 6-7M8 10.500l6.500-7.500',
  read: 'M1 7.500l3 3 6-7M8 10.500l6.500-7.500',
  failed: 'M9 2v6M9 10.500v1'
}

export const Ticks = ({ tick }: { tick: Tick }) => (
  <span class={`ticks ${tick}`} role='img' aria-label={WORDS[tick]} title={WORDS[tick]}>
    <svg viewBox='0 0 16 13' width='16' height='13' aria-hidden='true'><path d={PATHS[tick]} /></svg>
  </span>
)
