/** What is an outage of the database, and what is only a connection that broke. */
import pino from 'pino'
import { expect, test } from 'vitest'
import { DatabaseAway } from '../../../core/errors.ts'
import { createOutage, type Outage } from '../../../store/connections/outage.ts'

const broken = new DatabaseAway(new Error('Connection terminated unexpectedly'))
const refused = new DatabaseAway(Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' }))

function watch (): { outage: Outage, told: () => string[], lines: any[], pass: (ms: number) => void } {
  const lines: any[] = []
  let time = 0
  const log = pino({ base: null }, { write: line => lines.push(JSON.parse(line)) })
  return {
    outage: createOutage(log, () => time),
    lines,
    told: () => lines.map(({ msg }) => msg),
    pass: ms => { time += ms }
  }
}

test('connections that break are no outage while others are answered', () => {
  const { outage, told, pass } = watch()
  for (let i = 0; i < 100; i++) {
    outage.failed('reads', broken)
    pass(500)
    outage.answered()
    pass(500)
  }
  expect(told()).toEqual([])
})

test('connections that only break are an outage, from the first on: a proxy stands before the database', () => {
  const { outage, told, lines, pass } = watch()
  for (let i = 0; i <= 90; i++) {
    outage.failed('reads', broken)
    pass(1_000)
  }
  expect(outage.since()).toBe(0)
  expect(told()).toEqual(['the database is away'])
  outage.answered()
  pass(1_000)
  outage.answered()
  expect(told()).toEqual(['the database is away', 'the database is back'])
  expect(lines[1]).toMatchObject({ away_ms: expect.any(Number), failed: { reads: 90 } })
  expect(lines[1].away_ms).toBeGreaterThan(90_000)
})

test('a database that cannot be reached is away at once', () => {
  const { outage, told } = watch()
  outage.failed('commits', refused)
  expect(told()).toEqual(['the database is away'])
})
