/** Ratios within one run: Echo to one-by-one, its doors to each other, and one size to another. */
import { type Row, type Scenario } from './scenarios/scenario.ts'

export interface Result { scenario: string, database: string, server: string, size: number, row: Row }

const PAIRS = [['echo', 'one-by-one'], ['echo-ws', 'echo']] as const

/** A line for each scenario, database and size that both servers of a pair ran. */
export function ratios (scenarios: Scenario[], results: Result[]): string[] {
  return PAIRS.flatMap(([name, base]) => results.filter(({ server }) => server === name).flatMap(one => {
    const other = results.find(it => it.server === base &&
      it.scenario === one.scenario && it.database === one.database && it.size === one.size)
    return line(`${title(scenarios, one)}: ${name} / ${base}`, scenarios, one, other)
  }))
}

/** A line for each size beyond a scenario's first. */
export function growth (scenarios: Scenario[], results: Result[]): string[] {
  return results.flatMap(large => {
    const small = results.find(it =>
      it.server === large.server && it.scenario === large.scenario && it.database === large.database)
    if (small === large) return []
    const label = `${title(scenarios, large)}: ${large.server} / itself at ${small!.size}`
    return line(label, scenarios, large, small)
  })
}

function title (scenarios: Scenario[], { scenario, database, size }: Result): string {
  const sizes = scenarios.find(it => it.name === scenario)?.sizes
  return `${scenario}${sizes === undefined ? '' : ` ${size}`}, ${database}`
}

function line (label: string, scenarios: Scenario[], one: Result, other: Result | undefined): string[] {
  const parts = scenarios.find(it => it.name === one.scenario)!.compared
    .map(column => [column, Number(one.row[column]) / Number(other?.row[column])] as const)
    .filter(([, times]) => Number.isFinite(times))
    .map(([column, times]) => `${column} × ${times.toFixed(2)}`)
  return parts.length === 0 ? [] : [`${label}: ${parts.join(', ')}`]
}
