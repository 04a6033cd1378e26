/** Reads what /metrics says, and what two readings say about the time between them. */

export interface Sample { labels: Record<string, string>, value: number }

/** By name. */
export type Reading = Map<string, Sample[]>

const LINE = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)/
const LABEL = /(\w+)="((?:[^"\\]|\\.)*)"/g

export function readMetrics (text: string): Reading {
  const reading: Reading = new Map()
  for (const line of text.split('\n')) {
    const [, name, labels = '', value] = LINE.exec(line) ?? []
    if (name === undefined) continue
    const sample = {
      labels: Object.fromEntries([...labels.matchAll(LABEL)].map(([, key, text]) => [key!, text!])),
      value: Number(value)
    }
    const samples = reading.get(name)
    if (samples === undefined) reading.set(name, [sample])
    else samples.push(sample)
  }
  return reading
}

export type Wanted = (labels: Record<string, string>) => boolean
const all: Wanted = () => true

/** Of all samples together; 0 without any. */
export const sumOf = (reading: Reading, name: string, wanted: Wanted = all): number =>
  (reading.get(name) ?? []).reduce((sum, { labels, value }) => wanted(labels) ? sum + value : sum, 0)

/** How many more of a counter; a process that started anew has counted from 0. */
export function increase (before: Reading, after: Reading, name: string, wanted?: Wanted): number {
  const [from, to] = [sumOf(before, name, wanted), sumOf(after, name, wanted)]
  return to < from ? to : to - from
}

/**
 * What a share of the observations between two readings of a histogram stayed below, interpolated within its
 * bucket as Prometheus does. Undefined when there were none.
 */
export function quantile (
  before: Reading, after: Reading, name: string, share: number, wanted: Wanted = all
): number | undefined {
  const counts = bucketsOf(after, name, wanted)
  const old = bucketsOf(before, name, wanted)
  const total = (counts.get(Infinity) ?? 0) - (old.get(Infinity) ?? 0)
  if (total <= 0) return undefined
  let [floor, below] = [0, 0]
  for (const limit of [...counts.keys()].sort((a, b) => a - b)) {
    const upTo = counts.get(limit)! - (old.get(limit) ?? 0)
    if (upTo >= share * total) {
      if (limit === Infinity) return floor
      return upTo === below ? limit : floor + (limit - floor) * (share * total - below) / (upTo - below)
    }
    [floor, below] = [limit, upTo]
  }
  return undefined
}

function bucketsOf (reading: Reading, name: string, wanted: Wanted): Map<number, number> {
  const counts = new Map<number, number>()
  for (const { labels, value } of reading.get(`${name}_bucket`) ?? []) {
    if (!wanted(labels)) continue
    const limit = labels.le === '+Inf' ? Infinity : Number(labels.le)
    counts.set(limit, (counts.get(limit) ?? 0) + value)
  }
  return counts
}
