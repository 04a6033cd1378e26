import { once } from 'node:events'
import { expect, test, vi } from 'vitest'
import { AppError, DatabaseSlow } from '../../core/errors.ts'
import { openDatabase } from '../../store/database.ts'
import { createDatabase, runSql } from '../support/database.ts'
import { until } from '../support/until.ts'
import { promotedBy } from '../support/v8.ts'

test('a database that is not away has been away for 0 ms, also when time passes meanwhile', async () => {
  let since: number | undefined
  await using database = openDatabase('postgres://nobody/asks', {
    failed () {}, answered () {}, lost () {}, since: () => since
  })
  let time = 0
  const now = vi.spyOn(performance, 'now').mockImplementation(() => time++)
  try {
    expect(database.awayMs()).toBe(0)
    since = -1
    expect(database.awayMs()).toBeGreaterThan(0)
  } finally {
    now.mockRestore()
  }
})

const statement = (name: string, text: string) => ({ name, text })

test('a connection that breaks inside a transaction fails that transaction and nothing else', async () => {
  await using created = await createDatabase()
  await using database = openDatabase(created.url)
  const transaction = database.transact(async tx => {
    const [row] = await tx.rows<{ pid: number }>(statement('pid', 'select pg_backend_pid() as pid'), [])
    await runSql(created.url, `select pg_terminate_backend(${row!.pid})`)
    // The break is noticed while nothing is being asked: an error event, not an answer.
    await new Promise(resolve => setImmediate(resolve))
    await until(async () =>
      await tx.rows(statement('one', 'select 1'), []).then(() => false, () => true), 'the connection is gone')
    await tx.rows(statement('one', 'select 1'), [])
  })
  await expect(transaction).rejects.toMatchObject({ fault: 'unavailable' })
  await expect(transaction).rejects.toBeInstanceOf(AppError)
  expect(await database.autocommit.rows(statement('two', 'select 2 as n'), [])).toEqual([{ n: 2 }])
})

test('a deadlock is resolved by doing one of the transactions again', async () => {
  await using created = await createDatabase()
  await using database = openDatabase(created.url)
  await runSql(
    created.url,
    'create table counters (id int primary key, n int); insert into counters values (1, 0), (2, 0)'
  )
  const bump = (name: string, id: number) => statement(name, `update counters set n = n + 1 where id = ${id}`)
  const gate = new EventTarget()
  const bothHoldOne = once(gate, 'go')
  let holding = 0
  await Promise.all([[1, 2], [2, 1]].map(async ([first, second]) => await database.transact(async tx => {
    await tx.rows(bump(`bump_${first}`, first!), [])
    if (++holding === 2) gate.dispatchEvent(new Event('go'))
    await bothHoldOne
    await tx.rows(bump(`bump_${second}`, second!), [])
  })))
  expect(
    await database.autocommit.rows(statement('sum', 'select sum(n) as total from counters'), [])
  ).toEqual([{ total: 4 }])
})

test('a host that freezes within a transaction loses its rows, and does the transaction again', async () => {
  await using created = await createDatabase()
  await using database = openDatabase(created.url)
  await runSql(
    created.url, 'create table counters (id int primary key, n int); insert into counters values (1, 0)'
  )
  const bump = statement('bump', 'update counters set n = n + 1 where id = 1')
  let attempts = 0
  await database.transact(async tx => {
    await tx.rows(bump, [])
    // It does nothing until another host has had the row.
    if (++attempts === 1) await runSql(created.url, 'update counters set n = n + 10 where id = 1')
    await tx.rows(statement('again', 'select 1'), [])
  })
  expect(attempts).toBe(2)
  expect(await database.autocommit.rows(statement('n', 'select n from counters'), [])).toEqual([{ n: 11 }])
})

test('a statement that waits too long for a lock is told from a database that is away', async () => {
  await using created = await createDatabase()
  await using database = openDatabase(created.url)
  await runSql(created.url, 'create table counters (id int primary key); insert into counters values (1)')
  const lock = statement('lock', 'select 1 from counters where id = 1 for update')
  await database.transact(async tx => {
    await tx.rows(lock, [])
    const waiting = database.commit({
      lockTimeoutMs: 50,
      read: other => other.rows(lock, []),
      decide: async () => ({ writes: [], result: undefined })
    })
    await expect(waiting).rejects.toBeInstanceOf(DatabaseSlow)
  })
})

const ROUNDS = 200

test('rows that were read do not become old, by themselves and in a group', async () => {
  await using created = await createDatabase()
  await using database = openDatabase(created.url)
  const texts = statement('texts', "select repeat('x', 1000) || i as text from generate_series(1, 50) as i")
  let read = 0 // expect() would keep the rows
  const reading = await promotedBy(async () => {
    read += (await database.autocommit.rows(texts, [])).length
  }, ROUNDS)
  const committing = await promotedBy(() => database.commit({
    read: tx => tx.rows(texts, []),
    decide: async rows => {
      read += rows.length
      return { writes: [], result: undefined }
    }
  }), ROUNDS)
  expect([2, 3, 4, 5, 6], 'attempts').toContain(read / ((ROUNDS + 3) * 50))
  // 10 MB were read each time.
  expect(reading).toBeLessThan(2_000_000)
  expect(committing).toBeLessThan(2_000_000)
})
