/**
 * One PostgreSQL for the whole run, with a migrated database that every test file copies, and the bundles of
 * the programs that tests start.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pino from 'pino'
import { Opened } from '../../lifecycle.ts'
import { migrate } from '../../migrations/migrate.ts'
import { startEmbeddedPostgres } from '../../store/embedded-postgres/start.ts'
import { databaseUrl, runSql, SERVER_VARIABLE, TEMPLATE } from './database.ts'
import { bundlePrograms } from './programs.ts'

export default async function setup (): Promise<() => Promise<void>> {
  const opened = new Opened()
  try {
    await opened.add(bundlePrograms())
    await opened.add(provideServer())
  } catch (error) {
    await opened[Symbol.asyncDispose]()
    throw error
  }
  return () => opened[Symbol.asyncDispose]()
}

/**
 * A server named by the environment is used as it is; without one, an embedded one runs for as long
 * as the tests.
 */
async function provideServer (): Promise<AsyncDisposable> {
  const given = process.env[SERVER_VARIABLE]
  if (given !== undefined && given !== '') {
    await makeTemplate(given)
    return { async [Symbol.asyncDispose] () {} }
  }
  const dataDir = await mkdtemp(join(tmpdir(), 'echo-test-server-'))
  const server = await startEmbeddedPostgres({ dataDir, log: pino({ level: 'warn' }) })
  process.env[SERVER_VARIABLE] = server.url
  await makeTemplate(server.url)
  return {
    async [Symbol.asyncDispose] () {
      await server[Symbol.asyncDispose]()
      await rm(dataDir, { recursive: true, force: true, maxRetries: 10 })
    }
  }
}

async function makeTemplate (serverUrl: string): Promise<void> {
  await runSql(serverUrl, `drop database if exists ${TEMPLATE} with (force)`)
  await runSql(serverUrl, `create database ${TEMPLATE}`)
  await migrate(databaseUrl(serverUrl, TEMPLATE))
}
