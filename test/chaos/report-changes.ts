/** What a run prints of changes, erasures and pushes. */
import { repeatedPushes } from './checks/pushes.ts'
import { type Evidence } from './evidence.ts'
import { type Ledger } from './ledger.ts'

export function printChanges (
  ledger: Ledger, { pushes, downloads }: Evidence, pushedMs: number | undefined
): void {
  const sends = [...ledger.sends.values()]
  const pipelined = sends.filter(({ lane }) => lane.includes('.pipelined-'))
  const accepted = (changes: Array<{ accepted: boolean }>): number =>
    changes.filter(change => change.accepted).length
  const edits = [...ledger.edited.values()].flatMap(record => record.edits)
  const reactions = [...ledger.reactions.values()].flatMap(record => record.changes)
  console.table({
    'messages sent in pipelines': pipelined.length,
    'of them sent more than once': pipelined.filter(({ attempts }) => attempts > 1).length,
    'messages to the group of 200': sends.filter(({ lane }) => lane.includes('.crowd.')).length,
    'edits accepted': accepted(edits),
    'reactions made or taken back': accepted(reactions),
    'files uploaded': ledger.uploads.size,
    'files read at the end': downloads.size,
    'users erased': accepted(ledger.erasures),
    'messages to absent users': sends.filter(({ lane }) => lane.includes('.absent.')).length,
    'pushes to them': pushes.length,
    'of them repeated': repeatedPushes(pushes).length,
    'seconds until all were pushed': pushedMs === undefined ? 'never' : (pushedMs / 1_000).toFixed(1)
  })
}
