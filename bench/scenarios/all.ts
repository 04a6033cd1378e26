/** The scenarios by name. */
import { catchUp } from './catch-up.ts'
import { connect } from './connect.ts'
import { flood } from './flood.ts'
import { group } from './group.ts'
import { history } from './history.ts'
import { idle } from './idle.ts'
import { atRate, closedLoop } from './messages.ts'
import { type Scenario } from './scenario.ts'

const FIXED: Scenario[] = [group, connect, idle, catchUp, flood, history]

export const SCENARIO_NAMES = ['closed-N', 'rate-N', ...FIXED.map(scenario => scenario.name)]

/** `closed-4`: 4 messages under way per sender. `rate-200`: 200 a second. Throws for an unknown name. */
export function scenarioNamed (name: string): Scenario {
  const [, kind, number] = /^(closed|rate)-(\d+)$/.exec(name) ?? []
  if (kind === 'closed') return closedLoop(Number(number))
  if (kind === 'rate') return atRate(Number(number))
  const found = FIXED.find(scenario => scenario.name === name)
  if (found === undefined) throw new Error(`--only: "${name}" is none of ${SCENARIO_NAMES.join(', ')}`)
  return found
}
