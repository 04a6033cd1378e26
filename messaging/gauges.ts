/**
 * Gauges that are read when Prometheus scrapes. Several systems may be open in one
 * process (tests do that): each metric exists once, and shows them together.
 */
import { Gauge } from 'prom-client'

interface GaugeOptions<Source> {
  name: string
  help: string
  of: (source: Source) => number
  /** The sum by default. */
  over?: (values: number[]) => number
}

export interface SourceGauges<Source> {
  /** Returns the function that ends it. */
  add (source: Source): () => void
  gauge (options: GaugeOptions<Source>): void
  /** With labels: what a source reads is summed per set of labels. */
  gauges<Label extends string> (options: {
    name: string,
    help: string,
    labelNames: Label[],
    of: (source: Source) => Array<{ labels: Record<Label, string>, value: number }>
  }): void
}

const sum = (values: number[]): number => values.reduce((total, value) => total + value, 0)

export function gaugesOver<Source> (): SourceGauges<Source> {
  const open = new Set<Source>()
  return {
    add (source) {
      open.add(source)
      return () => { open.delete(source) }
    },
    gauge ({ name, help, of, over = sum }) {
      const gauge: Gauge = new Gauge({ name, help, collect: () => gauge.set(over([...open].map(of))) })
    },
    gauges ({ name, help, labelNames, of }) {
      const gauge: Gauge = new Gauge({
        name,
        help,
        labelNames,
        collect () {
          gauge.reset()
          for (const source of open) for (const { labels, value } of of(source)) gauge.inc(labels, value)
        }
      })
    }
  }
}
