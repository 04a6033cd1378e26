import { once } from 'node:events'
import { expect, test } from 'vitest'
import { AppError } from '../../core/errors.ts'
import { openDatabase } from '../../store/database.ts'
import { createDatabase, runSql } from '../support/database.ts'
import { until } from '../support/until.ts'

const statement = (name: string, text: string) => ({ name, text })

test('a connection that breaks inside a transaction fails that transaction and nothing else', async () => {
  await using created = await createDatabase()
  await using database = openDatabase(created.url, () => {})
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
  await using database = openDatabase(created.url, () => {})
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
