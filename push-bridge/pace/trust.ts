/**
 * Whether an answer that says "no such token" may be believed.
 *
 * With the credentials of a wrong project every token is said to be gone, and a bridge that
 * believed it would forget them all, batch by batch however small. So a bridge gives tokens up
 * only while its pushes are taken: none before the first push that was taken, and none after
 * SUSPICIOUS_DEVICES were refused in a row.
 */
import { type Logger } from 'pino'
import { suspicions } from '../metrics.ts'

const SUSPICIOUS_DEVICES = 10

export interface Trust {
  /** Results of one batch, by device; true when its refused tokens are to be given up. */
  judge (counts: { taken: number, refused: number }): boolean
  suspicious (): boolean
}

export function createTrust (log: Logger): Trust {
  let taken = false
  let refusedInARow = 0
  return {
    judge (counts) {
      const before = refusedInARow
      if (counts.taken > 0) {
        taken = true
        refusedInARow = 0
        return true
      }
      refusedInARow += counts.refused
      if (refusedInARow < SUSPICIOUS_DEVICES) return taken
      if (counts.refused > 0) suspicions.inc()
      if (before < SUSPICIOUS_DEVICES) {
        log.error(
          { devices: refusedInARow },
          'every push token is said to be gone, so none is forgotten: ' +
          'are the credentials those of the app\'s project?'
        )
      }
      return false
    },
    suspicious: () => refusedInARow >= SUSPICIOUS_DEVICES
  }
}
