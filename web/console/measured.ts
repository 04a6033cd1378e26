/** What the charts show: values taken from each reading of /metrics and the one before it. */
import { useRef } from 'preact/hooks'
import { askMetrics } from './admin-api.ts'
import { type Line } from './chart.tsx'
import { usePolled } from './polled.ts'
import { increase, quantile, readMetrics, sumOf, type Reading, type Wanted } from './prometheus.ts'

const EVERY_MS = 2_000
export const POINTS = 90

interface Measure {
  title: string
  format: (value: number) => string
  lines: Record<string, (before: Reading, after: Reading, seconds: number) => number | undefined>
}

const perSecond = (value: number): string => value < 10 ? value.toFixed(1) : count(value)
const count = (value: number): string => Math.round(value).toLocaleString('en')
const duration = (seconds: number): string =>
  seconds < 1 ? `${(seconds * 1_000).toFixed(seconds < 0.01 ? 1 : 0)} ms` : `${seconds.toFixed(1)} s`
const share = (value: number): string => `${Math.round(value * 100)} %`

const rate = (name: string, wanted?: Wanted) =>
  (before: Reading, after: Reading, seconds: number): number =>
    increase(before, after, name, wanted) / seconds
const level = (name: string) => (_: Reading, after: Reading): number => sumOf(after, name)
const below = (name: string, part: number, wanted?: Wanted) =>
  (before: Reading, after: Reading): number | undefined => quantile(before, after, name, part, wanted)

/** Streams and long polls take as long as their clients want. */
const answersAtOnce = ({ route }: Record<string, string>): boolean => !/\/(events|inbox)$/.test(route ?? '')

export const MEASURES: Measure[] = [
  {
    title: 'Messages per second',
    format: perSecond,
    lines: {
      stored: rate('echo_sends_total', ({ outcome }) => outcome === 'stored'),
      refused: rate('echo_sends_total', ({ outcome }) => outcome === 'refused' || outcome === 'failed')
    }
  },
  {
    title: 'Time to commit',
    format: duration,
    lines: { p50: below('echo_send_commit_seconds', 0.5), p99: below('echo_send_commit_seconds', 0.99) }
  },
  {
    title: 'From stored to acknowledged',
    format: duration,
    lines: { p50: below('echo_delivery_seconds', 0.5), p99: below('echo_delivery_seconds', 0.99) }
  },
  { title: 'REST requests per second', format: perSecond, lines: { all: rate('echo_http_requests_total') } },
  {
    title: 'Time to answer a request',
    format: duration,
    lines: {
      p50: below('echo_http_request_seconds', 0.5, answersAtOnce),
      p99: below('echo_http_request_seconds', 0.99, answersAtOnce)
    }
  },
  {
    title: 'Connections',
    format: count,
    lines: { MQTT: level('echo_mqtt_connections'), WebSocket: level('echo_ws_connections') }
  },
  { title: 'Events behind, worst device', format: count, lines: { lag: level('echo_pump_lag_events_max') } },
  {
    title: 'Pushes per second',
    format: perSecond,
    lines: { sent: rate('echo_push_sent_total'), failed: rate('echo_push_failed_total') }
  },
  { title: 'CPU of this process', format: share, lines: { used: rate('process_cpu_seconds_total') } }
]

export interface Charted { title: string, format: (value: number) => string, lines: Line[] }

export function useMeasured (): { charts: Charted[], error?: string } {
  const history = useRef<{ at: number, reading: Reading, values: Map<string, Line['values']> } | null>(null)
  const { value, error } = usePolled(async () => {
    const reading = readMetrics(await askMetrics())
    const at = performance.now()
    const before = history.current
    const values = new Map(MEASURES.flatMap(({ title, lines }) =>
      Object.entries(lines).map(([name, of]): [string, Line['values']] => {
        const key = `${title} ${name}`
        const old = before?.values.get(key) ?? []
        if (before === null) return [key, old]
        return [key, [...old, of(before.reading, reading, (at - before.at) / 1_000)].slice(-POINTS)]
      })))
    history.current = { at, reading, values }
    return values
  }, EVERY_MS)
  const charts = MEASURES.map(({ title, format, lines }) => ({
    title,
    format,
    lines: Object.keys(lines).map(name => ({ name, values: value?.get(`${title} ${name}`) ?? [] }))
  }))
  return { charts, error }
}
