/** The end of a run: every device comes back and catches up, in a bounded time. */
import { setTimeout as sleep } from 'node:timers/promises'
import { type Device } from './devices/device.ts'
import { readLogEnd, type LogEnd } from './log-end.ts'
import { inParallel } from './parallel.ts'
import { type Rest } from './rest.ts'

const DEADLINE_MS = 120_000
const ROUND_MS = 1_000
const READERS = 4

/**
 * Milliseconds until every device has its user's whole log and the logs grow no
 * more. Undefined when time is over first: what is missing is the checks' to say.
 */
export async function settle (devices: Device[], userIds: string[], rest: Rest): Promise<number | undefined> {
  const began = performance.now()
  for (const device of devices) device.settle()
  let before = new Map<string, LogEnd>()
  while (performance.now() - began < DEADLINE_MS) {
    await sleep(ROUND_MS)
    const ends = await readEnds(userIds, rest)
    const grown = userIds.some(userId => ends.get(userId)!.lastSeq !== before.get(userId)?.lastSeq)
    const behind = devices.some(({ userId, door }) => !door.caughtUp(ends.get(userId)!))
    if (!grown && !behind) return performance.now() - began
    before = ends
  }
  return undefined
}

export async function readEnds (userIds: string[], rest: Rest): Promise<Map<string, LogEnd>> {
  const ends = new Map<string, LogEnd>()
  await inParallel(READERS, userIds, async userId => { ends.set(userId, await readLogEnd(rest, userId)) })
  return ends
}
