/** What a scenario is given, and what it gives. */
import { type Meter } from '../meter.ts'
import { type Server } from '../server.ts'
import { type WorldOptions } from '../load/world.ts'

/** One line of a table: column name to value. Undefined: not known here. */
export type Row = Record<string, number | string | undefined>

export interface Bench {
  server: Server
  meter: Meter
  world: WorldOptions
  /** How long is measured, and how long the same load runs before. */
  seconds: number
  warmUpSeconds: number
  /** Connections of the scenarios about many devices. */
  devices: number[]
  groupSizes: number[]
  backlogs: number[]
  messages: number[]
}

export interface Scenario {
  name: string
  /** Columns whose ratio between two servers says something, with the side that is better. */
  compared: Record<string, 'higher' | 'lower'>
  /** Servers that cannot do it. */
  without?: string[]
  run (bench: Bench): Promise<Row[]>
}
