/** What a scenario is given, and what it gives. */
import { type Meter } from '../meter.ts'
import { type Server } from '../server.ts'
import { type WorldOptions } from '../load/world.ts'

/** One line of a table: column name to value. Undefined: not known here. */
export type Row = Record<string, number | string | undefined>

/** The sizes of scenarios that measure growth; each size has a fresh server. */
export interface Sizes {
  devices: number[]
  groupSizes: number[]
  backlogs: number[]
  messages: number[]
}

export interface Bench {
  server: Server
  meter: Meter
  world: WorldOptions
  /** How long is measured, and how long the same load runs before. */
  seconds: number
  warmUpSeconds: number
}

export interface Scenario {
  name: string
  /** Which sizes it goes through; by default it has none. */
  sizes?: keyof Sizes
  /** Columns whose ratio between two servers, or between two sizes, says something. */
  compared: string[]
  /** Servers that cannot do it. */
  without?: string[]
  run (bench: Bench, size: number): Promise<Row>
}
