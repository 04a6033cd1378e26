/** What the pages calculate, without a browser. */
import { expect, test } from 'vitest'
import { mentionBegun, mentionsIn, piecesOf } from '../../web/chat/mentions.ts'
import { increase, quantile, readMetrics, sumOf } from '../../web/console/prometheus.ts'

const PEOPLE = [
  { user_id: 'ann', name: 'Ann' }, { user_id: 'ann-lee', name: 'Ann Lee' }, { user_id: 'bob', name: null }
]

test('mentions are found by name and by id, the longer one first, counted in code points', () => {
  const text = '👋 @ann lee, @Bob and a@ann.example'
  const mentions = mentionsIn(text, PEOPLE)
  expect(mentions).toEqual([
    { user_id: 'ann-lee', offset: 2, length: 8 }, { user_id: 'bob', offset: 12, length: 4 }
  ])
  expect(piecesOf(text, mentions).filter(piece => piece.mentions !== undefined).map(({ text }) => text))
    .toEqual(['@ann lee', '@Bob'])
  expect(piecesOf(text, mentions).map(({ text }) => text).join('')).toBe(text)
  expect(mentionsIn('@annabel', PEOPLE)).toEqual([])
})

test('a mention is begun by the last @ of the text', () => {
  expect([mentionBegun('hello @b'), mentionBegun('@'), mentionBegun('a@b'), mentionBegun('@bob ')])
    .toEqual(['b', '', undefined, undefined])
})

const metrics = (sends: number, fast: number, slow: number) => readMetrics(`# HELP sends
sends{door="rest",outcome="stored"} ${sends}
sends{door="mqtt",outcome="refused"} 1
time_bucket{le="0.01"} ${fast}
time_bucket{le="0.1"} ${fast + slow}
time_bucket{le="+Inf"} ${fast + slow}
`)

test('rates come from two readings, and a counter that fell has begun anew', () => {
  expect(sumOf(metrics(10, 0, 0), 'sends')).toBe(11)
  const stored = (from: number, to: number): number =>
    increase(metrics(from, 0, 0), metrics(to, 0, 0), 'sends', ({ outcome }) => outcome === 'stored')
  expect([stored(10, 25), stored(25, 3)]).toEqual([15, 3])
})

test('quantiles lie within their bucket, and there is none without observations', () => {
  const [before, after] = [metrics(0, 10, 0), metrics(0, 20, 10)]
  expect(quantile(before, after, 'time', 0.25)).toBeCloseTo(0.005)
  expect(quantile(before, after, 'time', 0.75)).toBeCloseTo(0.055)
  expect(quantile(after, after, 'time', 0.5)).toBeUndefined()
})
