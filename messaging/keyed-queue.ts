/**
 * Work in turns: one piece at a time for each key, in order of arrival, and few
 * at once in all, so that a crowd on one conversation holds one connection to
 * the database instead of all of them.
 */
import { unavailable } from '../core/errors.ts'
import { PassingMap } from './passing-map.ts'

const MAX_WAITING = 20_000

export interface KeyedQueue {
  /** Runs `work` when it is its turn. Throws `unavailable` when too much waits. */
  run<T> (key: string, work: () => Promise<T>): Promise<T>
  /** Resolves when nothing waits and nothing runs. */
  drained (): Promise<void>
}

export function createKeyedQueue (maxRunning = 2): KeyedQueue {
  const queues = new PassingMap<string, Array<() => Promise<void>>>() // also of keys that run
  const ready: string[] = []
  const idle: Array<() => void> = []
  let waiting = 0
  let running = 0

  function start (): void {
    while (running < maxRunning && ready.length > 0) run(ready.shift()!)
    if (running === 0) idle.splice(0).forEach(resolve => resolve())
  }

  function run (key: string): void {
    const queue = queues.get(key)!
    const work = queue.shift()!
    waiting--
    running++
    const next = (): void => {
      running--
      if (queue.length > 0) ready.push(key)
      else queues.delete(key)
      start()
    }
    work().then(next, next)
  }

  return {
    async run (key, work) {
      if (waiting >= MAX_WAITING) throw unavailable('too much waits for its turn')
      return await new Promise((resolve, reject) => {
        const settle = (): Promise<void> => work().then(resolve, reject)
        const queue = queues.get(key)
        waiting++
        if (queue !== undefined) {
          queue.push(settle)
        } else {
          queues.set(key, [settle])
          ready.push(key)
          start()
        }
      })
    },
    drained: () => running === 0 ? Promise.resolve() : new Promise(resolve => { idle.push(resolve) })
  }
}
