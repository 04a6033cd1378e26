/**
 * `npm run walks -- [--count 1000] [--seed S] [--at-once 32] [--kill-server] [--stop]`
 *
 * Random walks of the client library against a running Echo: see walk.ts. The walks have the seeds S,
 * S + 1, …, so one of them is done again with `--count 1 --seed` and its own seed. `--kill-server`
 * kills Echo with -9 again and again on the way. `--stop` begins no walk after one that differs. Exits with 1
 * on any difference.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import pino from 'pino'
import { Opened, stopSignals } from '../../../lifecycle.ts'
import { migrate } from '../../../migrations/migrate.ts'
import { startEmbeddedPostgres } from '../../../store/embedded-postgres/start.ts'
import { AS_STARTED } from '../../support/echo-process.ts'
import { startGround } from './ground.ts'
import { runWalks } from './run.ts'

const PROGRESS_MS = 10_000

const { values } = parseArgs({
  options: {
    count: { type: 'string', default: '1000' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000_000) },
    'at-once': { type: 'string', default: '32' },
    'kill-server': { type: 'boolean', default: false },
    stop: { type: 'boolean', default: false }
  }
})
const [count, seed, atOnce] =
  [values.count, values.seed, values['at-once']].map(Number) as [number, number, number]
const killServer = values['kill-server']
if (!(count >= 1 && count <= 1_000_000 && Number.isInteger(seed) && atOnce >= 1 && atOnce <= 200)) {
  console.error('--count is up to 1000000, --seed a whole number, --at-once up to 200')
  process.exit(2)
}

// Whatever ends the run, no process and no folder of it is left.
const opened = new Opened()
const signal = stopSignals().first
let code = 1
try {
  code = await Promise.race([walk(), signal.then(() => 130)])
} catch (error) {
  console.error(error)
}
await opened[Symbol.asyncDispose]().catch(console.error)
process.exit(code)

async function walk (): Promise<number> {
  const folder = await mkdtemp(join(tmpdir(), 'echo-walks-'))
  await opened.add({
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true, maxRetries: 10 })
  })
  const postgres = await opened.add(
    startEmbeddedPostgres({ dataDir: join(folder, 'postgres'), log: pino({ level: 'warn' }) }))
  await migrate(postgres.url)
  const ground = await opened.add(
    startGround(postgres.url, { dataDir: join(folder, 'echo'), entry: AS_STARTED }))
  console.log(
    `seed ${seed}, ${count} walks, ${atOnce} at once${killServer ? ', Echo is killed on the way' : ''}`)

  const began = performance.now()
  const seconds = (): string => ((performance.now() - began) / 1_000).toFixed(0)
  const run = runWalks(ground, {
    count,
    seed,
    atOnce,
    killServer,
    stop: values.stop,
    differing ({ seed, trace, differences }) {
      console.log([`walk ${seed} differs:`, ...trace, ...differences].join('\n  '))
    }
  })
  const progress = setInterval(() => console.log(
    `${seconds()} s: ${run.done} walks, ${run.wrong} with differences, ` +
    `${Math.round(process.memoryUsage().rss / 1_048_576)} MB`), PROGRESS_MS)
  await run.finished.finally(() => clearInterval(progress))
  console.log(`${run.done} walks in ${seconds()} s, ${run.wrong} with differences` +
    (killServer ? `, Echo killed ${run.kills} times` : ''))
  console.log(`events by type: ${[...run.eventTypes].map(([type, n]) => `${type} in ${n}`).join(', ')}`)
  return run.wrong > 0 ? 1 : 0
}
