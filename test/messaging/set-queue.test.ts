import { expect, test, vi } from 'vitest'
import { DatabaseAway, unavailable } from '../../core/errors.ts'
import { until } from '../support/until.ts'
import { createSetQueue, MAX_SET } from '../../messaging/set-queue.ts'

/** A queue whose sets are answered by the test, one after the other. */
function heldQueue (keyOf?: (item: string) => string) {
  const sets: Array<{ items: string[], answer: (outcome?: Error) => void }> = []
  const queue = createSetQueue<string, string>({
    keyOf,
    run: items => new Promise((resolve, reject) => {
      sets.push({
        items, answer: error => error === undefined ? resolve(items.map(item => `${item}!`)) : reject(error)
      })
    })
  })
  return { queue, sets }
}
const turn = (): Promise<void> => new Promise(resolve => setTimeout(resolve, 1))
const names = (from: number, n: number): string[] => Array.from({ length: n }, (_, i) => `${from + i}`)

test('a lone item is a set at once, and what waits meanwhile is the next one', async () => {
  const { queue, sets } = heldQueue()
  const first = queue.run('a')
  await turn()
  const others = ['b', 'c'].map(item => queue.run(item))
  await turn()
  expect(sets.map(set => set.items)).toEqual([['a']])
  sets[0]!.answer()
  expect(await first).toBe('a!')
  await turn()
  expect(sets.map(set => set.items)).toEqual([['a'], ['b', 'c']])
  sets[1]!.answer()
  expect(await Promise.all(others)).toEqual(['b!', 'c!'])
})

test('a set has a bound, and items with one key come in their order, never in one set', async () => {
  const { queue, sets } = heldQueue(item => item.split(':')[0]!)
  const items = ['x:1', 'x:2', ...names(0, MAX_SET), 'x:3']
  const outcomes = Promise.all(items.map(item => queue.run(item)))
  for (let i = 0; i < 3; i++) {
    await turn()
    sets[i]!.answer()
  }
  expect(await outcomes).toEqual(items.map(item => `${item}!`))
  expect(sets.map(set => set.items)).toEqual([
    ['x:1', ...names(0, MAX_SET - 1)], ['x:2', `${MAX_SET - 1}`], ['x:3']
  ])
})

test('what is no longer wanted at its turn is left out', async () => {
  const { queue, sets } = heldQueue()
  const first = queue.run('a')
  await turn()
  let wanted = true
  const given = queue.run('b', () => wanted)
  const other = queue.run('c', () => true)
  wanted = false
  sets[0]!.answer()
  await first
  await turn()
  expect(sets[1]!.items).toEqual(['c'])
  sets[1]!.answer()
  expect([await given, await other]).toEqual([undefined, 'c!'])
})

test('an item that fails its set fails alone', async () => {
  const sizes: number[] = []
  const queue = createSetQueue<string, string>({
    async run (items) {
      sizes.push(items.length)
      if (items.includes('3')) throw new Error('3 is wrong')
      return items
    }
  })
  const outcomes = await Promise.allSettled(names(0, 8).map(item => queue.run(item)))
  expect(outcomes.map(({ status }) => status === 'fulfilled')).toEqual(names(0, 8).map(name => name !== '3'))
  expect(sizes).toEqual([8, 4, 2, 2, 1, 1, 4])
})

test('when the database is away a set fails as a whole, and the next one is tried', async () => {
  const { queue, sets } = heldQueue()
  const first = Promise.allSettled(names(0, 3).map(item => queue.run(item)))
  await turn()
  const next = queue.run('next')
  sets[0]!.answer(unavailable('away'))
  expect((await first).every(({ status }) => status === 'rejected')).toBe(true)
  await turn()
  sets[1]!.answer()
  expect(await next).toBe('next!')
  expect(sets).toHaveLength(2)
})

test('who has waited for long behind a set that finds the database away waits for no other', async () => {
  vi.useFakeTimers({ toFake: ['performance'] })
  try {
    const { queue, sets } = heldQueue()
    const outcome = (item: string): Promise<string> => queue.run(item).catch(() => 'away')
    const first = outcome('a')
    await until(() => sets.length === 1, 'it is asked')
    const second = outcome('b')
    vi.advanceTimersByTime(2_000)
    const third = outcome('c')
    sets[0]!.answer(new DatabaseAway(new Error('no answer')))
    await until(() => sets.length === 2, 'the next is asked')
    expect(sets[1]!.items).toEqual(['c'])
    sets[1]!.answer()
    expect(await Promise.all([first, second, third])).toEqual(['away', 'away', 'c!'])
  } finally {
    vi.useRealTimers()
  }
})
