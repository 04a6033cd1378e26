/** Many walks, some at once, each with a network of its own while it lasts. */
import { startNetwork } from '../network.ts'
import { type WalkedGround } from './ground.ts'
import { walk, type Outcome } from './walk.ts'

/** How long Echo stays up between two kills. */
const KILL_EVERY_MS = 4_000

export interface RunOptions {
  count: number
  /** Of the first walk; the others have those that follow. */
  seed: number
  atOnce: number
  killServer?: boolean
  /** No walk begins after one that differs. */
  stop?: boolean
  differing (outcome: Outcome): void
}

export interface Run {
  readonly done: number
  readonly wrong: number
  readonly kills: number
  /** In how many walks the device was told of such an event. */
  readonly eventTypes: ReadonlyMap<string, number>
  finished: Promise<void>
}

export function runWalks (
  ground: WalkedGround, { count, seed, atOnce, killServer = false, stop = false, differing }: RunOptions
): Run {
  const eventTypes = new Map<string, number>()
  const run = { done: 0, wrong: 0, kills: 0, eventTypes }
  let begun = 0

  async function walkOn (): Promise<void> {
    await using network = await startNetwork({ api: ground.api.url, mqttPort: ground.mqttPort })
    while (begun < count) {
      const outcome = await walk(ground, network, seed + begun++)
      run.done++
      for (const type of outcome.eventTypes) eventTypes.set(type, 1 + (eventTypes.get(type) ?? 0))
      if (outcome.differences.length === 0) continue
      run.wrong++
      if (stop) begun = count
      differing(outcome)
    }
  }

  async function killOn (walking: { isOver: boolean }): Promise<void> {
    while (!walking.isOver) {
      await new Promise(resolve => setTimeout(resolve, KILL_EVERY_MS))
      run.kills++
      await ground.restart()
    }
  }

  async function walkAll (): Promise<void> {
    const walking = { isOver: false }
    const killing = killServer ? killOn(walking) : undefined
    try {
      await Promise.all(Array.from({ length: Math.min(atOnce, count) }, () => walkOn()))
    } finally {
      walking.isOver = true
      await killing
    }
  }

  return Object.assign(run, { finished: walkAll() })
}
