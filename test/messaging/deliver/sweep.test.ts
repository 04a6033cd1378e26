/** What a sweep looks at: everything after a write, and what is left to send when nothing was written. */
import pg from 'pg'
import pino from 'pino'
import { expect, test } from 'vitest'
import { startSweep } from '../../../messaging/deliver/sweep.ts'
import { openDatabase } from '../../../store/database.ts'
import { quietMark } from '../../../store/log/quiet.ts'
import { createDatabase } from '../../support/database.ts'
import { until } from '../../support/until.ts'

const EPOCH = 'epoch'

/** A database that has written nothing since `mark`, and the users that each sweep asked it for. */
function startSweeping (pumps: object[]) {
  const sweeps: string[][] = []
  const state = { mark: '1' as string | null, fails: false }
  const database = {
    autocommit: {
      async rows ({ name }: { name: string }, values: unknown[]) {
        if (name === 'log_quiet') {
          sweeps.push([])
          return [{ mark: state.mark }]
        }
        if (state.fails) throw new Error('the database went away')
        sweeps.at(-1)!.push(...values.filter(value => typeof value === 'string')) // the ids of a few users
        return []
      }
    }
  }
  const sweep = startSweep({
    sessions: { all: () => pumps.map(pump => ({ pump })), of: () => [], waiting: () => [] },
    feeds: { all: () => [], of: () => [] },
    database,
    epoch: () => EPOCH,
    log: pino({ enabled: false }),
    sweepMs: 2,
    graceMs: 60_000,
    now: Date.now
  } as never)
  return {
    state,
    /** The next sweeps that begin from now on, when they have ended. */
    async next (count: number) {
      const seen = sweeps.length
      await until(() => sweeps.length > seen + count, 'the sweeps have ended')
      return sweeps.slice(seen, seen + count)
    },
    [Symbol.asyncDispose]: () => sweep[Symbol.asyncDispose]()
  }
}

const pump = (userId: string, sentSeq: number, knownSeq = sentSeq) =>
  ({ userId, sentSeq, knownSeq, epoch: EPOCH })

test('while nothing is written a sweep looks at pumps that have not sent all they know of, each twelfth at all', async () => {
  await using sweeping = startSweeping([pump('even', 1), pump('behind', 1, 2), pump('beyond', 3, 2)])
  const [all, some] = [['even', 'behind', 'beyond'], ['behind', 'beyond']]
  const expected = Array.from({ length: 30 }, (_, i) => i % 12 === 0 ? all : some)
  expect(await sweeping.next(30)).toEqual(expected)
})

test.for([
  ['something was written', (state: any) => { state.mark = '2' }],
  ['something is being written', (state: any) => { state.mark = null }]
] as const)('a sweep looks at all pumps when %s', async ([, change]) => {
  await using sweeping = startSweeping([pump('even', 1)])
  expect(await sweeping.next(2)).toEqual([['even'], []])
  change(sweeping.state)
  expect(await sweeping.next(1)).toEqual([['even']])
})

test('what a sweep could not look at the next one does', async () => {
  await using sweeping = startSweeping([pump('even', 1)])
  expect(await sweeping.next(2)).toEqual([['even'], []])
  Object.assign(sweeping.state, { mark: '2', fails: true })
  expect(await sweeping.next(1)).toEqual([[]])
  sweeping.state.fails = false
  expect(await sweeping.next(1)).toEqual([['even']])
})

test('the mark of PostgreSQL changes with every commit, and there is none while a transaction writes', async () => {
  await using own = await createDatabase()
  await using database = openDatabase(own.url)
  const mark = () => quietMark(database.autocommit)
  const write = 'update meta set epoch_since = now()'
  const before = await until(mark, 'nobody writes')
  await database.autocommit.rows({ name: 'write', text: write }, [])
  expect(await until(mark, 'nobody writes')).not.toBe(before)
  const other = new pg.Client(own.url)
  await other.connect()
  try {
    await other.query('begin')
    await other.query(write)
    // Others may commit meanwhile: this one is under way, or after all that have ended.
    const during = await mark()
    await database.autocommit.rows({ name: 'elsewhere', text: 'create table elsewhere ()' }, [])
    expect(await mark()).toBeUndefined()
    await other.query('commit')
    expect(await until(mark, 'nobody writes')).not.toBe(during)
  } finally {
    await other.end()
  }
})
