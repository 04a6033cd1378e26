/**
 * `npm run bench`: drives a running server from outside, in the shape its users
 * have, and prints what came of it. `-- --help` lists the options.
 *
 * Every scenario gets a server and a database of its own, fresh, so that
 * nothing depends on what ran before; what is compared ran in the same run.
 */
import { execFileSync } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { cpus } from 'node:os'
import { type WorldOptions } from './load/world.ts'
import { openMeter } from './meter.ts'
import { HELP, readOptions } from './options.ts'
import { growth, ratios, type Result } from './ratios.ts'
import { type Row, type Scenario } from './scenarios/scenario.ts'
import { startServer, type DatabaseKind } from './server.ts'
import { serverOptions, type ServerName } from './subjects.ts'

const options = readOptions(process.argv.slice(2))
if (options === undefined) {
  console.log(HELP)
  process.exit(0)
}

const results: Result[] = []
for (const scenario of options.scenarios) {
  for (const database of options.databases) {
    for (const server of options.servers.filter(name => !scenario.without?.includes(name))) {
      for (const size of scenario.sizes === undefined ? [0] : options.sizes[scenario.sizes]) {
        console.error(`${scenario.name}${size === 0 ? '' : ` ${size}`}: ${server}, ${database}`)
        const row = await runScenario(scenario, { size, name: server, database })
        results.push({ scenario: scenario.name, database, server, size, row })
      }
    }
    printTable(scenario, database)
  }
}
for (const line of ratios(options.scenarios, results)) console.log(line)
for (const line of growth(options.scenarios, results)) console.log(line)
if (options.json !== undefined) {
  const { scenarios: _, ...settings } = options
  const text = JSON.stringify({ ...circumstances(), options: settings, results }, undefined, 2)
  await writeFile(options.json, `${text}\n`)
}

async function runScenario (
  scenario: Scenario, { size, name, database }: { size: number, name: ServerName, database: DatabaseKind }
): Promise<Row> {
  await using server = await startServer(serverOptions(name, database, options!))
  await using meter = await openMeter(server)
  const world: WorldOptions = { ...options!.world, phones: name === 'echo-ws' ? 'ws' : 'mqtt' }
  return await scenario.run({ server, meter, ...options!, world }, size)
}

function printTable (scenario: Scenario, database: DatabaseKind): void {
  console.log(`\n${scenario.name}, ${database}`)
  console.table(results
    .filter(result => result.scenario === scenario.name && result.database === database)
    .map(({ server, size, row }) => ({
      server, ...(scenario.sizes === undefined ? {} : { [scenario.sizes]: size }), ...row
    })))
}

function circumstances () {
  const { cwd } = options!
  const commit = execFileSync('git', ['rev-parse', '--short', 'HEAD'], { cwd, encoding: 'utf8' })
  const [{ model } = { model: 'unknown' }] = cpus()
  return {
    commit: commit.trim(),
    at: new Date().toISOString(),
    node: process.version,
    cores: cpus().length,
    model
  }
}
