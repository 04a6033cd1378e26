/** Whatever collects the log of a process can parse every line. */
import { expect, test } from 'vitest'
import { Opened } from '../../lifecycle.ts'
import { startTestRedis } from '../support/cluster.ts'
import { createDatabase } from '../support/database.ts'
import { scratchFolder, spawnEcho, startEcho } from '../support/echo-process.ts'
import { program } from '../support/programs.ts'
import { until } from '../support/until.ts'

/** What a library may do at any time, when the test says so. */
const NOISE = `process.once('SIGUSR2', () => {
  process.emitWarning('something is deprecated', 'DeprecationWarning')
  console.log('a text'); console.warn('two\\nlines'); console.error(new Error('an error'))
  setTimeout(() => Promise.reject(new Error('nobody awaits this')), 50)
})`

test('every line is JSON: the addresses, what libraries and Node print, and the error that ends it', async () => {
  await using opened = new Opened()
  const folder = await opened.add(scratchFolder())
  const redis = await opened.add(startTestRedis(folder.path))
  const database = await opened.add(createDatabase())
  const echo = await opened.add(startEcho({
    dataDir: folder.path,
    // Of a password that nobody asked for, the client of Redis tells the console.
    env: { DATABASE_URL: database.url, REDIS_URL: redis.url.replace('//', '//:password@') },
    entry: ['--import', `data:text/javascript,${encodeURIComponent(NOISE)}`, program('main')]
  }))
  echo.child.kill('SIGUSR2')
  await until(() => echo.child.exitCode !== null, 'it has ended')
  const lines = echo.output().split('\n').filter(line => line !== '').map(line => JSON.parse(line))
  expect(lines).toContainEqual(expect.objectContaining({
    msg: 'Echo is ready', rest: expect.stringMatching(/^http:.*\/api\/v1$/), mqtt: expect.any(String)
  }))
  const said = lines.map(({ level, msg, text, err }) => [level, msg, text ?? err?.message])
  expect(said).toContainEqual([40, 'a warning of Node', 'something is deprecated'])
  expect(said).toContainEqual([40, 'a library wrote to the console', 'two\nlines'])
  expect(said).toContainEqual(
    [40, 'a library wrote to the console', expect.stringContaining('does not require a password')]
  )
  expect(said.at(-1)).toEqual([60, 'an error that nobody expected ends the process', 'nobody awaits this'])
  expect(echo.child.exitCode).toBe(1)
})

test('a start that fails says so on stdout as JSON, and on stderr in words', async () => {
  await using folder = await scratchFolder()
  const { child } = spawnEcho({ dataDir: folder.path, env: { HTTP_PORT: 'eighty' } })
  const said = { stdout: '', stderr: '' }
  for (const stream of ['stdout', 'stderr'] as const) {
    child[stream]!.on('data', text => { said[stream] += text })
  }
  await until(() => child.exitCode !== null && said.stdout.endsWith('\n'), 'it has ended')
  expect(JSON.parse(said.stdout)).toMatchObject({
    level: 60, msg: 'Echo did not start', reason: expect.stringContaining('HTTP_PORT')
  })
  expect(said.stderr).toMatch(/^Echo did not start: [^]*HTTP_PORT/)
})
