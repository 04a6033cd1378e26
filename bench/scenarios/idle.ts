/** What connected, silent phones cost. The first half warms the process up, the second is counted. */
import { Crowd } from '../load/crowd.ts'
import { rounded } from '../load/latencies.ts'
import { residentBytes } from '../process-times.ts'
import { type Scenario } from './scenario.ts'

const COLLECTIONS = 3
const QUIET_MS = 2_000
/** The collector goes on for most of a minute after the last connection. */
const SETTLE_MS = 60_000
const IDLE_MS = 20_000

export const idle: Scenario = {
  name: 'idle',
  sizes: 'devices',
  compared: ['KiB per device', 'RSS MB', 'core'],
  async run ({ server, meter }, devices) {
    using crowd = new Crowd(server, 'idle', devices)
    await crowd.connect(0, devices / 2)
    const half = await residentWhenCollected(server.pid)
    await crowd.connect(devices / 2, devices)
    const all = await residentWhenCollected(server.pid)
    await new Promise(resolve => setTimeout(resolve, SETTLE_MS))
    const before = await meter.read()
    await new Promise(resolve => setTimeout(resolve, IDLE_MS))
    const after = await meter.read()
    const seconds = (after.at - before.at) / 1_000
    return {
      'RSS MB': Math.round(all / 1e6),
      'KiB per device': rounded((all - half) / (devices / 2) / 1_024),
      core: rounded((after.serverCpu - before.serverCpu) / seconds),
      'core of PostgreSQL': rounded((after.postgresCpu - before.postgresCpu) / seconds)
    }
  }
}

/** Resident memory of a server started with bench/collect.js when all garbage has gone. */
export async function residentWhenCollected (pid: number): Promise<number> {
  for (let i = 0; i < COLLECTIONS; i++) {
    process.kill(pid, 'SIGUSR2')
    await new Promise(resolve => setTimeout(resolve, QUIET_MS))
  }
  return await residentBytes(pid)
}
