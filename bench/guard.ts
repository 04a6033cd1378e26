/**
 * `npm run bench:guard [-- --times 1.5 --slower 3]`: Echo against one-by-one, each on a
 * fresh PostgreSQL, in about a minute. Only ratios of one run are looked at, never times:
 * it fails when Echo does not get `times` as many messages through, or when its median
 * time to the device at 200 messages/s is more than `slower` times as long.
 */
import { parseArgs } from 'node:util'
import { DEBIAN_BINARIES } from './database.ts'
import { World } from './load/world.ts'
import { openMeter } from './meter.ts'
import { readOptions } from './options.ts'
import { asMuchAsPossible, measure, poisson } from './scenarios/messages.ts'
import { startServer } from './server.ts'
import { serverOptions, type ServerName } from './subjects.ts'

const RATE = 200
const OUTSTANDING = 4
const SHORT = ['--partners', '6', '--seconds', '4', '--warm-up', '2']

const { values } = parseArgs({
  options: {
    times: { type: 'string', default: '1.5' },
    slower: { type: 'string', default: '3' },
    database: { type: 'string', default: 'postgres' },
    'pg-bin': { type: 'string', default: DEBIAN_BINARIES }
  }
})
const options = readOptions([...SHORT, '--database', values.database, '--pg-bin', values['pg-bin']])!

const echo = await run('echo')
const other = await run('one-by-one')
const times = echo.throughput / other.throughput
const slower = echo.p50 / other.p50
console.log(`messages: ${echo.throughput}/s, one by one ${other.throughput}/s: ${times.toFixed(2)} times`)
console.log(`device p50 at ${RATE}/s: ${echo.p50} ms, one by one ${other.p50} ms: ${slower.toFixed(2)} times`)
if (!(times >= Number(values.times))) fail(`Echo must get at least ${values.times} times as many through`)
if (!(slower <= Number(values.slower))) fail(`Echo may take at most ${values.slower} times as long`)

async function run (name: ServerName): Promise<{ throughput: number, p50: number }> {
  await using server = await startServer(serverOptions(name, options.databases[0]!, options))
  await using meter = await openMeter(server)
  const bench = { server, meter, ...options }
  using world = await World.open(server, options.world)
  const steady = await measure(bench, world, poisson(RATE))
  const full = await measure(bench, world, asMuchAsPossible(OUTSTANDING))
  return { throughput: Number(full['messages/s']), p50: Number(steady['device p50 ms']) }
}

function fail (reason: string): void {
  console.error(reason)
  process.exitCode = 1
}
