import fc from 'fast-check'
import { expect, test } from 'vitest'
import { PassingMap } from '../../messaging/passing-map.ts'
import { promotedBy } from '../support/v8.ts'

test('it holds what a Map holds, in the same order', () => {
  const steps = fc.array(fc.tuple(fc.constantFrom('set', 'delete'), fc.nat({ max: 9 }), fc.nat()))
  fc.assert(fc.property(steps, steps => {
    const map = new Map<number, number>()
    const passing = new PassingMap<number, number>()
    for (const [step, key, value] of steps) {
      if (step === 'set') {
        map.set(key, value)
        passing.set(key, value)
      } else {
        map.delete(key)
        passing.delete(key)
      }
      expect([...passing]).toEqual([...map])
      expect([...passing.values()]).toEqual([...map.values()])
      expect(passing.size).toBe(map.size)
      expect([passing.get(key), passing.has(key)]).toEqual([map.get(key), map.has(key)])
    }
  }))
})

test('a loop over it may delete', () => {
  const passing = new PassingMap<number, string>()
  for (let key = 0; key < 10; key++) passing.set(key, 'x')
  const seen: number[] = []
  for (const [key] of passing) {
    seen.push(key)
    passing.delete(key)
  }
  expect(seen).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
  expect(passing.size).toBe(0)
})

test('what has passed through it does not become old', async () => {
  const passing = new PassingMap<number, object>()
  const promoted = await promotedBy(() => {
    for (let key = 0; key < 100; key++) {
      passing.set(key, new Array(1_000).fill(key))
      if (key >= 10) passing.delete(key - 10)
    }
    for (let key = 90; key < 100; key++) passing.delete(key)
  }, 20)
  expect(promoted).toBeLessThan(200_000) // of a Map, 8 MB do
})
