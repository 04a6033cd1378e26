/**
 * `npm run bench:guard [-- --times 1.2 --slower 10]`: Echo against one-by-one, each on a fresh PostgreSQL,
 * in less than a minute. Only ratios are looked at, never times: it fails when Echo does not get `times` as
 * many messages through, or when its median time to the device at 200 messages/s is more than `slower` times
 * as long.
 *
 * The two take turns, and one round that holds is enough: other work on the machine spoils a round, a
 * regression spoils all. The thresholds leave room for disks: where a commit costs nothing, batching gains
 * least and its wait shows most (3.3 times as many, 2.4 times as long, with 0.1 ms for an fsync).
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
const ROUNDS = 3
const SHORT = ['--partners', '6', '--seconds', '3', '--warm-up', '1']

const { values } = parseArgs({
  options: {
    times: { type: 'string', default: '1.2' },
    slower: { type: 'string', default: '10' },
    database: { type: 'string', default: 'postgres' },
    'pg-bin': { type: 'string', default: DEBIAN_BINARIES }
  }
})
const options = readOptions([...SHORT, '--database', values.database, '--pg-bin', values['pg-bin']])!

await using echo = await open('echo')
await using other = await open('one-by-one')
let holds = false
for (let round = 1; round <= ROUNDS && !holds; round++) holds = await hold()
if (!holds) {
  console.error(`No round had at least ${values.times} times as many, at most ${values.slower} times as long`)
  process.exitCode = 1
}

async function hold (): Promise<boolean> {
  const [ours, theirs] = [await echo.measure(), await other.measure()]
  const times = ours.throughput / theirs.throughput
  const slower = ours.p50 / theirs.p50
  console.log(`messages: ${ours.throughput}/s, one by one ${theirs.throughput}/s: ${times.toFixed(2)} times`)
  console.log(
    `device p50 at ${RATE}/s: ${ours.p50} ms, one by one ${theirs.p50} ms: ${slower.toFixed(2)} times`
  )
  return times >= Number(values.times) && slower <= Number(values.slower)
}

interface Subject extends AsyncDisposable { measure (): Promise<{ throughput: number, p50: number }> }

async function open (name: ServerName): Promise<Subject> {
  const server = await startServer(serverOptions(name, options.databases[0]!, options))
  const meter = await openMeter(server)
  const bench = { server, meter, ...options }
  const world = await World.open(server, options.world)
  return {
    async measure () {
      const steady = await measure(bench, world, poisson(RATE))
      const full = await measure(bench, world, asMuchAsPossible(OUTSTANDING))
      return { throughput: Number(full['messages/s']), p50: Number(steady['device p50 ms']) }
    },
    async [Symbol.asyncDispose] () {
      world[Symbol.dispose]()
      await meter[Symbol.asyncDispose]()
      await server[Symbol.asyncDispose]()
    }
  }
}
