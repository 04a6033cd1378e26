/** Which fault comes next, from the seed alone, and how each is done and undone. */
import { setTimeout as sleep } from 'node:timers/promises'
import { type Cluster, type Part } from './cluster.ts'
import { type Random } from './random.ts'
import { type Server } from './server.ts'

export interface Fault {
  kind: 'kill' | 'pause' | 'freeze' | 'restart' | 'empty' | 'cut' | 'failover'
  target: string
  /** How long it stays away or stopped before it is started or continued. */
  awayMs: number
  /** Until the next one, after everything has recovered. */
  calmMs: number
}

const KILLED: Part[] = ['broker', 'api', 'push-bridge', 'echo', 'redis', 'postgres']
const PAUSED: Part[] = ['broker', 'api', 'push-bridge', 'echo', 'redis', 'postgres']
const RESTARTED: Part[] = ['broker', 'api', 'push-bridge', 'echo']
/** Longer than any timeout of Echo. */
const FROZEN: Part[] = ['broker', 'redis', 'postgres']
/** Of the faults of a round, so many come two at once. */
const PAIRED_SHARE = 0.3

const AWAY_MS: Record<Fault['kind'], [least: number, most: number]> = {
  kill: [500, 3_000],
  pause: [2_000, 8_000],
  freeze: [60_000, 70_000],
  restart: [500, 3_000],
  empty: [0, 0],
  cut: [2_000, 20_000],
  failover: [0, 0]
}

/**
 * Every fault on every part once, in a seeded order, some of them two at once; then again in another order,
 * without end. `long`: with those that last for a minute.
 */
export function * faultSequence (
  parts: Map<Part, ReadonlyArray<{ name: string }>>, random: Random, { long = false } = {}
): Generator<Fault[], never> {
  const here = (wanted: Part[], kind: Fault['kind']) =>
    wanted.filter(part => parts.has(part)).map(part => ({ kind, part }))
  const round = [
    ...here(KILLED, 'kill'), ...here(PAUSED, 'pause'), ...here(RESTARTED, 'restart'),
    ...here(['redis'], 'empty'), ...here(['postgres'], 'cut'), ...here(['postgres'], 'failover'),
    ...(long ? here(FROZEN, 'freeze') : [])
  ]
  const fault = ({ kind, part }: { kind: Fault['kind'], part: Part }): Fault => ({
    kind,
    target: random.pick(parts.get(part)!).name,
    awayMs: Math.round(random.between(...AWAY_MS[kind])),
    calmMs: Math.round(random.between(500, 3_000))
  })
  for (;;) {
    const shuffled = random.shuffle(round)
    for (let next = shuffled.shift(); next !== undefined; next = shuffled.shift()) {
      const other = shuffled[0]
      const together = other !== undefined && other.part !== next.part && random.chance(PAIRED_SHARE)
      yield together ? [fault(next), fault(shuffled.shift()!)] : [fault(next)]
    }
  }
}

export interface Struck {
  /** Resolves when what was struck serves again. */
  healed: Promise<void>
}

/**
 * Strikes, and begins to heal. Throws an Error for a graceful stop that was none, unless another fault struck
 * at the same time: what cannot be flushed to a frozen database makes it end with another code.
 */
export async function strike (cluster: Cluster, fault: Fault, alone: boolean): Promise<Struck> {
  const server = [...cluster.parts.values()].flat().find(({ name }) => name === fault.target)!
  const { postgres } = cluster
  switch (fault.kind) {
    case 'kill':
      await server.kill()
      return { healed: sleep(fault.awayMs).then(() => server.start()) }
    case 'pause':
    case 'freeze':
      await server.pause()
      return { healed: sleep(fault.awayMs).then(() => server.resume()) }
    case 'restart':
      return { healed: restart(server, fault.awayMs, alone) }
    case 'empty':
      await cluster.redis!.empty()
      return { healed: Promise.resolve() }
    case 'cut':
      postgres.network.cut()
      return { healed: sleep(fault.awayMs).then(() => { postgres.network.mend() }) }
    case 'failover':
      await postgres.failOver()
      // Until it has a replica again it waits for none.
      return { healed: postgres.addReplica().then(() => postgres.synchronize()) }
  }
}

async function restart (server: Server, awayMs: number, alone: boolean): Promise<void> {
  const how = await server.stop()
  await sleep(awayMs)
  await server.start()
  if (alone && how !== 'exit code 0') throw new Error(`SIGTERM ended ${server.name} with ${how}`)
}

export const describe = ({ kind, target, awayMs }: Fault): string => {
  const seconds = `${(awayMs / 1_000).toFixed(1)} s`
  switch (kind) {
    case 'kill': return `kill -9 ${target}, started again after ${seconds}`
    case 'pause':
    case 'freeze': return `SIGSTOP ${target} for ${seconds}`
    case 'restart': return `SIGTERM ${target}, started again after ${seconds}`
    case 'empty': return 'FLUSHALL in redis'
    case 'cut': return `nothing comes through between Echo and ${target} for ${seconds}`
    case 'failover': return `kill -9 ${target}, its replica takes over`
  }
}
