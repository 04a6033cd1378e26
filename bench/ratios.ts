/** Ratios within one run: Echo to one-by-one, and one size to another. */
import { type Row, type Scenario } from './scenarios/scenario.ts'

export interface Result { scenario: string, database: string, server: string, size: number, row: Row }

/** A line for each scenario, database and size that both servers ran. */
export function ratios (scenarios: Scenario[], results: Result[]): string[] {
  return results.filter(result => result.server === 'echo').flatMap(echo => {
    const other = results.find(it => it.server === 'one-by-one' &&
      it.scenario === echo.scenario && it.database === echo.database && it.size === echo.size)
    return line(`${title(scenarios, echo)}: echo / one-by-one`, scenarios, echo, other)
  })
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
