/** Which fault comes next, from the seed alone, and how each is done and undone. */
import { setTimeout as sleep } from 'node:timers/promises'
import { type Cluster, type Part } from './cluster.ts'
import { type Random } from './random.ts'
import { type Server } from './server.ts'

export interface Fault {
  kind: 'kill' | 'pause' | 'restart' | 'empty'
  target: string
  /** How long it stays away or stopped before it is started or continued. */
  awayMs: number
  /** Until the next one, after everything has recovered. */
  calmMs: number
}

const KILLED: Part[] = ['broker', 'api', 'push-bridge', 'echo', 'redis', 'postgres']
const PAUSED: Part[] = ['broker', 'api', 'push-bridge', 'echo', 'redis', 'postgres']
const RESTARTED: Part[] = ['broker', 'api', 'push-bridge', 'echo']

/** Every fault on every part once, in a seeded order; then again in another one, without end. */
export function * faultSequence (
  parts: Map<Part, ReadonlyArray<{ name: string }>>, random: Random
): Generator<Fault, never> {
  const here = (wanted: Part[], kind: Fault['kind']) =>
    wanted.filter(part => parts.has(part)).map(part => ({ kind, part }))
  const round = [
    ...here(
      KILLED, 'kill'
    ), ...here(PAUSED, 'pause'), ...here(RESTARTED, 'restart'), ...here(['redis'], 'empty')
  ]
  for (;;) {
    for (const { kind, part } of random.shuffle(round)) {
      yield {
        kind,
        target: random.pick(parts.get(part)!).name,
        awayMs: Math.round(kind === 'pause' ? random.between(2_000, 8_000) : random.between(500, 3_000)),
        calmMs: Math.round(random.between(500, 3_000))
      }
    }
  }
}

export interface Struck {
  /** Resolves when what was struck serves again. */
  healed: Promise<void>
}

/** Strikes, and begins to heal. Throws an Error for a graceful stop that was none. */
export async function strike (cluster: Cluster, fault: Fault): Promise<Struck> {
  const server = [...cluster.parts.values()].flat().find(({ name }) => name === fault.target)!
  switch (fault.kind) {
    case 'kill':
      await server.kill()
      return { healed: sleep(fault.awayMs).then(() => server.start()) }
    case 'pause':
      await server.pause()
      return { healed: sleep(fault.awayMs).then(() => server.resume()) }
    case 'restart':
      return { healed: restart(server, fault.awayMs) }
    case 'empty':
      await cluster.redis!.empty()
      return { healed: Promise.resolve() }
  }
}

async function restart (server: Server, awayMs: number): Promise<void> {
  const how = await server.stop()
  await sleep(awayMs)
  await server.start()
  if (how !== 'exit code 0') throw new Error(`SIGTERM ended ${server.name} with ${how}`)
}

export const describe = ({ kind, target, awayMs }: Fault): string => {
  const seconds = `${(awayMs / 1_000).toFixed(1)} s`
  switch (kind) {
    case 'kill': return `kill -9 ${target}, started again after ${seconds}`
    case 'pause': return `SIGSTOP ${target} for ${seconds}`
    case 'restart': return `SIGTERM ${target}, started again after ${seconds}`
    case 'empty': return 'FLUSHALL in redis'
  }
}
