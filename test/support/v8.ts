/** What V8 does with objects, which no statistics of Node tell. */
import { getHeapSpaceStatistics, setFlagsFromString } from 'node:v8'
import { runInNewContext, runInThisContext } from 'node:vm'

setFlagsFromString('--expose-gc')
const gc = runInNewContext('gc') as (options?: { type: 'minor' }) => void

setFlagsFromString('--allow-natives-syntax')
const haveSameMap = runInThisContext('(one, other) => %HaveSameMap(one, other)') as
  (one: object, other: object) => boolean

/** Whether V8 keeps both under one hidden class, so that code that has seen one is fast with the other. */
export const haveOneShape = (one: object, other: object): boolean => haveSameMap(one, other)

/** What keeps objects keeps them every time; V8 itself, while it compiles, does so once. */
const ATTEMPTS = 3
const AS_GOOD_AS_NOTHING = 1_000_000

/**
 * Bytes that become old while `round` runs so many times, with a young collection after each: the least
 * of a few attempts.
 */
export async function promotedBy (round: () => void | Promise<void>, rounds: number): Promise<number> {
  let least = Infinity
  for (let attempt = 0; attempt < ATTEMPTS && least > AS_GOOD_AS_NOTHING; attempt++) {
    for (let i = 0; i < 3; i++) await round() // compiled, with its constants
    gc()
    const before = oldBytes()
    for (let i = 0; i < rounds; i++) {
      await round()
      gc({ type: 'minor' })
    }
    least = Math.min(least, oldBytes() - before)
  }
  return least
}

const oldBytes = (): number =>
  getHeapSpaceStatistics().find(space => space.space_name === 'old_space')!.space_used_size
