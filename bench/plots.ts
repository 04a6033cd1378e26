/**
 * `npm run bench:plots -- results.json …`: draws the growth with devices, group size, backlog and
 * history from what `npm run bench -- --json` wrote, into docs/performance/ or the folder of `--to`.
 */
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { lineChart, type Series } from './line-chart.ts'
import { type Result } from './ratios.ts'

interface Plot {
  file: string
  title: string
  scenario: string
  x: string
  y: string
  /** Columns drawn as lines, each for every server that has it. */
  columns: string[]
}

const PLOTS: Plot[] = [
  plot('connect', 'Connecting', 'connect', 'devices', 'devices a second', ['new/s', 'back/s']),
  plot('idle', 'Memory of the server when all are idle', 'idle', 'devices', 'MB', ['RSS MB']),
  plot('group-created', 'A group is created', 'group', 'members, all online', 'ms',
    ['answered ms', 'all know ms']),
  plot('group-message', 'A message until the last member has it', 'group', 'members, all online', 'ms',
    ['message p50 ms', 'message worst ms']),
  plot('group-others', 'Others, 50 messages/s, while the group writes', 'group', 'members, all online', 'ms',
    ['others p50 ms', 'others p99 ms']),
  plot('catch-up', 'A phone comes back', 'catch-up', 'waiting events', 'events a second', ['events/s']),
  plot('catch-up-memory', 'Memory while a phone catches up', 'catch-up', 'waiting events', 'MB more',
    ['RSS growth MB']),
  plot('history-pages', 'A page of 50 messages', 'history', 'messages in the database', 'ms, median',
    ['page p50 ms', 'deep p50 ms']),
  plot('history-sending', 'Sending, 64 senders with 4 messages under way', 'history',
    'messages in the database', 'messages a second', ['messages/s'])
]

const { values, positionals } = parseArgs({
  options: {
    to: { type: 'string', default: 'docs/performance' },
    database: { type: 'string', default: 'postgres' }
  },
  allowPositionals: true
})
const runs = await Promise.all(positionals.map(async file => JSON.parse(await readFile(file, 'utf8'))))
const results: Result[] = runs.flatMap(run => run.results)
await mkdir(values.to, { recursive: true })
for (const each of PLOTS) {
  const series = seriesOf(each)
  if (series.length === 0) continue
  const path = join(values.to, `${each.file}.svg`)
  await writeFile(path, lineChart({ title: each.title, x: each.x, y: each.y, series }))
  console.log(path)
}

/** A line for each server and column; a scenario that ran with a single size has none. */
function seriesOf ({ scenario, columns }: Plot): Series[] {
  const ran = results.filter(it => it.scenario === scenario && it.database === values.database)
  return [...new Set(ran.map(it => it.server))].flatMap(server => columns.map(column => ({
    label: `${server}: ${column.replace(/( p50)? ms$|\/s$| MB$/, '')}`,
    points: ran.filter(it => it.server === server && Number.isFinite(it.row[column]))
      .map(it => ({ x: it.size, y: Number(it.row[column]) }))
      .toSorted((a, b) => a.x - b.x)
  }))).filter(it => it.points.length > 1)
}

function plot (
  file: string, title: string, scenario: string, x: string, y: string, columns: string[]
): Plot {
  return { file, title, scenario, x, y, columns }
}
