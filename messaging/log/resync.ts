/**
 * Devices that come back in a new epoch: what they have may not be what the database has. Their user's log
 * tells each of them once to take a new snapshot.
 */
import { type Database } from '../../store/database.ts'
import { appendEvents } from '../../store/log/inbox.ts'
import { markSynced, unsyncedDevices } from '../../store/people/device-sessions.ts'
import { type TellResync } from '../deliver/openings.ts'
import { type WakeEvent } from '../deliver/wakes.ts'
import { type Epochs } from './epochs.ts'
import { wakesFor } from './render.ts'

export const createTellResync = ({ database, epochs, wake, now }: {
  database: Database
  epochs: Pick<Epochs, 'current' | 'since'>
  wake: (events: WakeEvent[]) => void
  now: () => number
}): TellResync => async devices => {
  const since = epochs.since()
  if (since === undefined) return
  const unsynced = await unsyncedDevices(database.opening, devices, since)
  if (unsynced.length === 0) return
  const userIds = [...new Set(unsynced.map(device => device.userId))]
  const appended = await database.transact(async tx => {
    const appended = await appendEvents(tx, userIds.map(user_id =>
      ({ user_id, type: 'resync_required' as const, conversation_id: null })), new Date(now()))
    await markSynced(tx, unsynced)
    return appended
  })
  wake(wakesFor(epochs.current(), appended))
}
