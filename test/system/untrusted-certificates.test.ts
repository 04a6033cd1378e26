/** A PostgreSQL or a Redis whose certificate Node does not trust, or that has none: waiting heals nothing. */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import pg from 'pg'
import pino from 'pino'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Opened } from '../../lifecycle.ts'
import { reasonOf } from '../../start-failures.ts'
import { spawnerForPostgres } from '../../store/embedded-postgres/as-user.ts'
import { findBinaries } from '../../store/embedded-postgres/binaries.ts'
import { ensureCluster } from '../../store/embedded-postgres/cluster.ts'
import { endOf } from '../../store/embedded-postgres/process-end.ts'
import { freePort } from '../chaos/ports.ts'
import { prepareRedis } from '../chaos/redis.ts'
import { startTestRedis } from '../support/cluster.ts'
import { createCertificate, type TestCertificate } from '../support/certificate.ts'
import { runCommand } from '../support/command.ts'
import { createDatabase } from '../support/database.ts'
import { scratchFolder, spawnEcho } from '../support/echo-process.ts'
import { until } from '../support/until.ts'

const opened = new Opened()
let folder: string
/** For 127.0.0.1, and for no other name. */
let certificate: TestCertificate
let postgresPort: number

beforeAll(async () => {
  folder = (await opened.add(scratchFolder())).path
  certificate = await opened.add(createCertificate('IP:127.0.0.1'))
  postgresPort = (await opened.add(startPostgres())).port
})
afterAll(() => opened[Symbol.asyncDispose]())

const postgres = (host: string, parameters = ''): string =>
  `postgres://postgres@${host}:${postgresPort}/postgres?sslmode=verify-full${parameters}`
const trusting = (file: string): string => `&sslrootcert=${file}`

test.for([
  ['that nobody has signed', () => postgres('127.0.0.1'),
    /^DATABASE_URL: self-signed certificate \(.*sslrootcert.*NODE_EXTRA_CA_CERTS\)$/],
  ['of another host', () => postgres('localhost', trusting(certificate.files.cert)),
    /^DATABASE_URL: Hostname\/IP does not match certificate's altnames: .*\(.*sslrootcert/],
  ['whose authority is in no file', () => postgres('127.0.0.1', trusting('/nowhere/root.pem')),
    /^DATABASE_URL: .*\/nowhere\/root\.pem/]
] as const)('a certificate of PostgreSQL %s ends the start, and a migration, with the cause in one line', async (
  [, url, cause]
) => {
  const migration = await runCommand('migrate', { folder, env: { DATABASE_URL: url() } })
  expect(migration.code).toBe(1)
  for (const output of [migration.output, await failedStart({ DATABASE_URL: url() })]) {
    expect(spoken(output)).toEqual([expect.stringMatching(cause)])
  }
})

test('a certificate whose authority is named is trusted', async () => {
  const url = postgres('127.0.0.1', trusting(certificate.files.cert))
  expect(await failedStart({ DATABASE_URL: url })).toContain('run `npm run migrate`')
  expect(await runCommand('migrate', { folder, env: { DATABASE_URL: url } })).toMatchObject({ code: 0 })
})

test('a certificate of Redis that is not trusted ends the start, with the cause in one line', async () => {
  await using own = new Opened()
  const { path } = await own.add(scratchFolder())
  const tlsPort = await freePort()
  const redis = await prepareRedis(path, join(path, 'redis.log'), () => {}, [
    '--tls-port', String(tlsPort), '--tls-auth-clients', 'no',
    '--tls-cert-file', certificate.files.cert, '--tls-key-file', certificate.files.key
  ])
  await redis.start()
  await own.add({ async [Symbol.asyncDispose] () { await redis.stop() } })
  const database = await own.add(createDatabase())
  const told = async (url: string, authority = ''): Promise<string[]> => spoken(await failedStart({
    DATABASE_URL: database.url, REDIS_URL: url, NODE_EXTRA_CA_CERTS: authority
  }))
  expect(await told(`rediss://127.0.0.1:${tlsPort}`)).toEqual([
    expect.stringMatching(/REDIS_URL: self-signed certificate \(.*NODE_EXTRA_CA_CERTS/)
  ])
  expect(await told(`rediss://localhost:${tlsPort}`, certificate.files.cert)).toEqual([
    expect.stringMatching(/REDIS_URL: Hostname\/IP does not match certificate's altnames: .*NODE_EXTRA_CA_CERTS/)
  ])
})

test('a Redis without TLS that is asked for it ends the start, with the cause in one line', async () => {
  await using own = new Opened()
  const { path } = await own.add(scratchFolder())
  const redis = await own.add(startTestRedis(path))
  const database = await own.add(createDatabase())
  const url = redis.url.replace('redis:', 'rediss:')
  expect(spoken(await failedStart({ DATABASE_URL: database.url, REDIS_URL: url }))).toEqual([
    'REDIS_URL: the server answers without TLS (rediss:// asks for it, redis:// does not)'
  ])
})

test.for([
  'CERT_HAS_EXPIRED', 'CERT_NOT_YET_VALID', 'SELF_SIGNED_CERT_IN_CHAIN', 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE'
])('%s is told as OpenSSL says it', code => {
  const cause = Object.assign(new Error('the words of OpenSSL'), { code })
  expect(reasonOf(new Error('Failed query: select', { cause }))).toMatch(
    /^DATABASE_URL: the words of OpenSSL \(the certificate of the server is not one that Node trusts/
  )
})

/** A real one, which takes TLS alone. */
async function startPostgres (): Promise<{ port: number } & AsyncDisposable> {
  const data = join(folder, 'postgres')
  await mkdir(data)
  const [{ initdb, postgres }, spawn, port] =
    [await findBinaries(), await spawnerForPostgres(), await freePort()]
  const logFile = join(data, 'log')
  const cluster = await ensureCluster({
    folder: data, initdb, spawn, logFile, log: pino({ level: 'silent' })
  })
  await writeFile(join(cluster, 'pg_hba.conf'), 'hostssl all all 127.0.0.1/32 trust\n')
  const settings = {
    listen_addresses: '127.0.0.1',
    port,
    unix_socket_directories: '',
    ssl: 'on',
    ssl_cert_file: certificate.files.cert,
    ssl_key_file: certificate.files.key
  }
  const args = Object.entries(settings).flatMap(setting => ['-c', setting.join('=')])
  const child = spawn(postgres, ['-D', cluster, ...args], logFile)
  const ended = endOf(child)
  await until(async () => {
    const client = new pg.Client({
      host: '127.0.0.1', port, user: 'postgres', database: 'postgres', ssl: { ca: certificate.pem.cert }
    })
    return await client.connect().then(() => true, () => false).finally(() => client.end().catch(() => {}))
  }, 'PostgreSQL takes TLS')
  return {
    port,
    async [Symbol.asyncDispose] () {
      child.kill('SIGINT')
      await ended
    }
  }
}

async function failedStart (env: NodeJS.ProcessEnv): Promise<string> {
  await using data = await scratchFolder()
  const { child, output } = spawnEcho({ dataDir: data.path, env })
  try {
    await until(() => child.exitCode !== null || output().includes('waiting for'), 'the start has ended')
    expect(child.exitCode, output()).toBe(1)
  } finally {
    child.kill('SIGKILL')
  }
  return output()
}

/** What is not JSON, and was written for people. */
const spoken = (output: string): string[] =>
  output.split('\n').filter(line => line !== '' && !line.startsWith('{'))
    .map(line => line.replace('Echo did not start: ', ''))
