import { expect, test } from 'vitest'
import { faultSequence, type Fault } from './faults.ts'
import { seededRandom } from './random.ts'

const PARTS = new Map((['broker', 'api', 'push-bridge', 'redis', 'postgres'] as const)
  .map(part => [part, [{ name: `${part}-1` }, { name: `${part}-2` }]]))
const A_ROUND = 14

test('the same seed gives the same faults, another seed others', () => {
  expect(take('a', 3 * A_ROUND)).toEqual(take('a', 3 * A_ROUND))
  expect(take('a', A_ROUND)).not.toEqual(take('b', A_ROUND))
})

test('a round has every fault on every part once', () => {
  const sequence = take('a', 2 * A_ROUND).map(({ kind, target }) => `${kind} ${target.slice(0, -2)}`)
  expect(new Set(sequence.slice(0, A_ROUND)).size).toBe(A_ROUND)
  expect(sequence.slice(A_ROUND).toSorted()).toEqual(sequence.slice(0, A_ROUND).toSorted())
})

function take (seed: string, count: number): Fault[] {
  const faults = faultSequence(PARTS, seededRandom(seed))
  return Array.from({ length: count }, () => faults.next().value)
}
