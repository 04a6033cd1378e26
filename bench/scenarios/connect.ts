/** New phones as fast as they are let in; then all connections are cut, and all come back at once. */
import { Crowd, type Arrival } from '../load/crowd.ts'
import { rounded } from '../load/latencies.ts'
import { type Reading } from '../meter.ts'
import { type Bench, type Row, type Scenario } from './scenario.ts'

const QUIET_MS = 3_000

export const connect: Scenario = {
  name: 'connect',
  sizes: 'devices',
  compared: ['new/s', 'back/s', 'new ms CPU', 'back ms CPU'],
  async run (bench, devices) {
    using crowd = new Crowd(bench.server, 'new', devices)
    const first = await storm(bench, 'new', async () => await crowd.connect(0, devices))
    crowd.drop()
    await new Promise(resolve => setTimeout(resolve, QUIET_MS))
    const again = await storm(bench, 'back', async () => await crowd.connect(0, devices, devices))
    return { ...first, ...again }
  }
}

async function storm ({ meter }: Bench, name: string, work: () => Promise<Arrival[]>): Promise<Row> {
  const before = await meter.read()
  const arrivals = await work()
  const after = await meter.read()
  const each = (of: keyof Reading): number => (after[of] - before[of]) / arrivals.length
  const failures = arrivals.flatMap(arrival => arrival.failures)
  return {
    [`${name}/s`]: Math.round(1_000 / each('at')),
    [`${name} errors`]: failures.length,
    ...(failures.length === 0 ? {} : { [`${name} failed with`]: [...new Set(failures)].join(', ') }),
    ...(name === 'back' ? { 'sessions lost': arrivals.filter(arrival => !arrival.present).length } : {}),
    [`${name} ms CPU`]: rounded(each('serverCpu') * 1_000),
    [`${name} ms PostgreSQL`]: rounded(each('postgresCpu') * 1_000)
  }
}
