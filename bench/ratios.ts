/** What Echo is to one-by-one, within one run. */
import { type Row, type Scenario } from './scenarios/scenario.ts'

export interface Result { scenario: string, database: string, server: string, rows: Row[] }

/** Echo's value divided by that of one-by-one, for every column worth it. Rows belong together by their place. */
export function ratio (results: Result[], scenario: string, database: string, column: string, row = 0): number {
  const value = (server: string): number => Number(results.find(result =>
    result.scenario === scenario && result.database === database && result.server === server
  )?.rows[row]?.[column])
  return value('echo') / value('one-by-one')
}

/** A line for each scenario and database that both servers ran. */
export function ratios (scenarios: Scenario[], results: Result[]): string[] {
  const lines: string[] = []
  for (const { scenario, database, rows } of results.filter(result => result.server === 'echo')) {
    const compared = scenarios.find(it => it.name === scenario)!.compared
    rows.forEach((row, place) => {
      const parts = Object.keys(compared)
        .map(column => [column, ratio(results, scenario, database, column, place)] as const)
        .filter(([, times]) => Number.isFinite(times))
        .map(([column, times]) => `${column} × ${times.toFixed(2)}`)
      if (parts.length === 0) return
      const label = rows.length > 1 ? ` ${Object.values(row)[0]}` : ''
      lines.push(`${scenario}${label}, ${database}: echo / one-by-one: ${parts.join(', ')}`)
    })
  }
  return lines
}
