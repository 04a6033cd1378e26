import { expect, test } from 'vitest'
import { faultSequence, type Fault } from './faults.ts'
import { seededRandom } from './random.ts'

const PARTS = new Map((['broker', 'api', 'push-bridge', 'redis', 'postgres'] as const)
  .map(part => [part, [{ name: `${part}-1` }, { name: `${part}-2` }]]))
const A_ROUND = 16

test('the same seed gives the same faults, another seed others', () => {
  expect(take('a', 3 * A_ROUND)).toEqual(take('a', 3 * A_ROUND))
  expect(take('a', A_ROUND)).not.toEqual(take('b', A_ROUND))
})

test('a round has every fault on every part once', () => {
  const sequence = take('a', 2 * A_ROUND).map(({ kind, target }) => `${kind} ${target.slice(0, -2)}`)
  expect(new Set(sequence.slice(0, A_ROUND)).size).toBe(A_ROUND)
  expect(sequence.slice(A_ROUND).toSorted()).toEqual(sequence.slice(0, A_ROUND).toSorted())
})

test('some faults come two at once, on two parts', () => {
  const strikes = Array.from({ length: 100 }, (_, i) => i)
  const sequence = faultSequence(PARTS, seededRandom('c'))
  const pairs = strikes.map(() => sequence.next().value).filter(faults => faults.length === 2)
  expect(pairs.length).toBeGreaterThan(10)
  for (const [one, other] of pairs) expect(one!.target.slice(0, -2)).not.toBe(other!.target.slice(0, -2))
})

test('only long runs have faults of a minute', () => {
  const kinds = (long: boolean): string[] => {
    const sequence = faultSequence(PARTS, seededRandom('d'), { long })
    return Array.from({ length: 100 }, () => sequence.next().value).flat().map(({ kind }) => kind)
  }
  expect(kinds(false)).not.toContain('freeze')
  expect(kinds(true)).toContain('freeze')
})

function take (seed: string, count: number): Fault[] {
  const faults: Fault[] = []
  for (const strike of faultSequence(PARTS, seededRandom(seed))) {
    faults.push(...strike)
    if (faults.length >= count) break
  }
  return faults.slice(0, count)
}
