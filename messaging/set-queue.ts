/**
 * Work in sets: whatever waits when a round trip ends is the next set.
 *
 * There is no timer, so a lone item is worked on at once, and a crowd costs a few
 * round trips. One set is in flight: items with the same key keep their order.
 */
import { DatabaseAway, overloaded } from '../core/errors.ts'
import { commitInHalves } from './halves.ts'

/** An answer for so many keeps the process busy for some ten milliseconds: no other work waits longer. */
export const MAX_SET = 200
/** Far more than one process has connections. */
const MAX_WAITING = 50_000
/** Who has waited so long for a database that turns out to be away does not wait for another attempt. */
export const MAX_WAIT_FOR_AWAY_MS = 1_000

export interface SetQueueOptions<Item, Result> {
  /**
   * Outcomes in order. An AppError that it throws fails the whole set, unless it is `DatabaseSlow`; otherwise
   * the set is tried in halves, until the item at fault fails alone.
   */
  run (items: Item[]): Promise<Array<Result | Error>>
  /** Items with the same key are never in one set. */
  keyOf? (item: Item): string
}

export interface SetQueue<Item, Result> {
  /**
   * Resolves with the item's outcome, or with undefined when it was no longer wanted at its turn.
   * Throws `overloaded` when too many wait, else what `run` says of the item.
   */
  run (item: Item, wanted: () => boolean): Promise<Result | undefined>
  run (item: Item): Promise<Result>
}

interface Waiting<Item, Result> {
  item: Item
  /** When it came (performance.now()). */
  since: number
  wanted: () => boolean
  resolve (result: Result | undefined): void
  reject (error: unknown): void
}

export function createSetQueue<Item, Result> (
  { run, keyOf }: SetQueueOptions<Item, Result>
): SetQueue<Item, Result> {
  let waiting: Array<Waiting<Item, Result>> = []
  let running = false

  // Once per turn of the event loop: what was read from the sockets in this turn is one set.
  function schedule (): void {
    if (running || waiting.length === 0) return
    running = true
    setImmediate(() => {
      const set = takeSet()
      work(set)
        .catch((error: unknown) => { for (const entry of set) entry.reject(error) })
        .finally(() => {
          running = false
          schedule()
        })
    })
  }

  function takeSet (): Array<Waiting<Item, Result>> {
    const set: Array<Waiting<Item, Result>> = []
    const left: Array<Waiting<Item, Result>> = []
    const keys = new Set<string>()
    let at = 0
    for (; at < waiting.length && set.length < MAX_SET; at++) {
      const entry = waiting[at]!
      const key = keyOf?.(entry.item)
      if (!entry.wanted()) {
        entry.resolve(undefined)
      } else if (key !== undefined && keys.has(key)) {
        left.push(entry)
      } else {
        if (key !== undefined) keys.add(key)
        set.push(entry)
      }
    }
    waiting = [...left, ...waiting.slice(at)]
    return set
  }

  async function work (set: Array<Waiting<Item, Result>>): Promise<void> {
    if (set.length === 0) return
    const outcomes = await commitInHalves(set.map(({ item }) => item), { commit: run })
    set.forEach(({ resolve, reject }, i) => {
      const outcome = outcomes[i]
      if (outcome instanceof Error) reject(outcome)
      else resolve(outcome)
    })
    const away = outcomes.find(outcome => outcome instanceof DatabaseAway)
    if (away !== undefined) giveUp(away)
  }

  function giveUp (away: DatabaseAway): void {
    const now = performance.now()
    waiting = waiting.filter(({ since, reject }) => {
      const tooLong = now - since > MAX_WAIT_FOR_AWAY_MS
      if (tooLong) reject(away)
      return !tooLong
    })
  }

  return {
    run: (item: Item, wanted: () => boolean = () => true) => new Promise<any>((resolve, reject) => {
      if (waiting.length >= MAX_WAITING) throw overloaded('too much waits for the database')
      waiting.push({ item, since: performance.now(), wanted, resolve, reject })
      schedule()
    })
  }
}
