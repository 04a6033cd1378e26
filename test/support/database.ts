/** A fresh, migrated database for one test file or one test, on the server of the run. */
import { randomBytes } from 'node:crypto'
import pg from 'pg'

/** Holds the URL of a superuser; the set-up of the run provides it. */
export const SERVER_VARIABLE = 'ECHO_TEST_DATABASE_URL'
export const TEMPLATE = 'echo_template'

export interface TestDatabase extends AsyncDisposable { url: string }

export async function createDatabase (): Promise<TestDatabase> {
  const serverUrl = process.env[SERVER_VARIABLE]
  if (serverUrl === undefined) throw new Error(`${SERVER_VARIABLE} is not set: run the tests with vitest`)
  const name = `echo_test_${randomBytes(6).toString('hex')}`
  await runSql(serverUrl, `create database ${name} template ${TEMPLATE}`)
  return {
    url: databaseUrl(serverUrl, name),
    [Symbol.asyncDispose]: () => runSql(serverUrl, `drop database if exists ${name} with (force)`)
  }
}

/** The same server, another database. The host may lie in the query (a socket), so this is no job for URL. */
export const databaseUrl = (serverUrl: string, name: string): string =>
  serverUrl.replace(/^(\w+:\/\/[^/?]*)(?:\/[^?]*)?/, (_, server) => `${server}/${name}`)

export async function runSql (url: string, sql: string): Promise<void> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    await client.query(sql)
  } finally {
    await client.end()
  }
}
