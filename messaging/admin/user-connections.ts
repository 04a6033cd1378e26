/** The sessions of one user, for administrators: seeing them and ending them, on every node. */
import { AppError } from '../../core/errors.ts'
import { writeAudit } from '../../store/audit-log.ts'
import { type Database, type Executor } from '../../store/database.ts'
import { recentDevices, type StoredDevice } from '../../store/people/devices.ts'
import { inboxCounters } from '../../store/people/users.ts'
import { type InboxCounters } from '../../store/locks.ts'
import { type Cluster } from '../cluster/cluster.ts'
import { type ConnectionState } from '../deliver/connections.ts'
import { type Answers } from '../cluster/questions.ts'

export const MAX_DEVICES_SHOWN = 200

export interface UserConnections {
  /** Throws `not_found` for an unknown user; so does `disconnect`. */
  list (
    actorId: string, userId: string
  ): Promise<{ inbox: InboxCounters, live: Answers<ConnectionState[]>, devices: StoredDevice[] }>
  /** Ends the connections of the user, or of one device. They may come back, and stored cursors stay. */
  disconnect (actorId: string, userId: string, deviceId: string | undefined): Promise<Answers<number>>
}

export function createUserConnections ({ database, cluster }: {
  database: Database, cluster: Pick<Cluster, 'ask'>
}): UserConnections {
  return {
    async list (actorId, userId) {
      const stored = await database.transact(async tx => {
        const inbox = await requireUser(tx, userId)
        // It shows where a user is: an admin who looks leaves a trace.
        await writeAudit(tx, { actorId, action: 'read_sessions', subjectId: userId })
        return { inbox, devices: await recentDevices(tx, userId, MAX_DEVICES_SHOWN) }
      })
      return { ...stored, live: await cluster.ask('sessions', { userId }) }
    },
    // The trace comes first: nothing is ended of which it does not tell.
    async disconnect (actorId, userId, deviceId) {
      await database.transact(async tx => {
        await requireUser(tx, userId)
        await writeAudit(tx, {
          actorId,
          action: 'disconnect',
          subjectId: userId,
          details: deviceId === undefined ? undefined : { device_id: deviceId }
        })
      })
      return await cluster.ask('disconnect', { userId, deviceId })
    }
  }
}

async function requireUser (tx: Executor, userId: string): Promise<InboxCounters> {
  const [user] = await inboxCounters(tx, [userId])
  if (user === undefined) throw new AppError('not_found', 'user_not_found', 'there is no such user')
  return user
}
