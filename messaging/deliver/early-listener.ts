/**
 * Listens for a user's events before there is a connection that could: delivery starts at a place in
 * the log that is read meanwhile, so that no event falls between the two.
 */
import { type WakeEvent, type WakeListener, type Wakes } from './wakes.ts'

export class EarlyListener implements WakeListener {
  /** The end of the log as far as heard; 0: nothing was heard. */
  heardSeq = 0
  readonly stop: () => void

  constructor (wakes: Wakes, userId: string) {
    this.stop = wakes.listen(userId, this)
  }

  wake (events: WakeEvent[]): void {
    this.heardSeq = Math.max(this.heardSeq, events.at(-1)!.seq)
  }
}
