/** What one node asks all of them, itself included, and how it answers. */
import { type Connection, type Connections, type ConnectionState } from '../deliver/connections.ts'
import { type TrackedSessions } from '../deliver/tracked-sessions.ts'
import { type PushLog, type PushLogEntry } from './push-log.ts'

export interface Questions {
  /** The connections of a user. */
  sessions: { asks: { userId: string }, answer: ConnectionState[] }
  /** Ends them, or that of one device; how many that were. */
  disconnect: { asks: { userId: string, deviceId?: string }, answer: number }
  totals: { asks: object, answer: Totals }
  /** The connections that are furthest behind, of any user. */
  furthest_behind: { asks: { limit: number }, answer: ConnectionOfUser[] }
  /** What the push bridge of this process has sent, the newest first. */
  pushes: { asks: { limit: number }, answer: PushLogEntry[] }
}

/**
 * Without the address: it says where a user is, and looking at that leaves a trace
 * (messaging/admin/user-connections.ts).
 */
export type ConnectionOfUser = Omit<ConnectionState, 'address'> & { user_id: string }

export interface Totals { users: number, connections: number, tracked_sessions: number }

export type Kind = keyof Questions
export type Answering = { [K in Kind]: (asks: Questions[K]['asks']) => Questions[K]['answer'] }

export interface Answers<Answer> {
  answers: Array<{ node: string, answer: Answer }>
  /** Nodes that were alive a moment ago and did not answer in time. */
  silent: string[]
  /** False when it is not even known which nodes there are. */
  nodesKnown: boolean
}

/** How long all nodes together have. */
export const ANSWER_WITHIN_MS = 1_000

export function answerFrom (
  connections: Connections, sessions: TrackedSessions, pushLog: Pick<PushLog, 'newest'>
): Answering {
  const matching = ({ userId, deviceId }: Questions['disconnect']['asks']): Connection[] =>
    [...connections.of(userId)].filter(connection => deviceId === undefined ||
      connection.deviceId === deviceId)
  return {
    sessions: asks => matching(asks).map(connection => connection.state()),
    disconnect (asks) {
      const ending = matching(asks)
      for (const connection of ending) connection.disconnect('an administrator ended it')
      return ending.length
    },
    totals: () =>
      ({ users: connections.users(), connections: connections.count(), tracked_sessions: sessions.count() }),
    furthest_behind: ({ limit }) =>
      Array.from(connections.all(), stateWithoutAddress).sort(byLag).slice(0, limit),
    pushes: ({ limit }) => pushLog.newest(limit)
  }
}

function stateWithoutAddress (connection: Connection): ConnectionOfUser {
  const { address: _, ...state } = connection.state()
  return { user_id: connection.userId, ...state }
}

/** Those furthest behind first, of the others the latest. */
export const byLag = (a: ConnectionOfUser, b: ConnectionOfUser): number =>
  b.lag - a.lag || b.connected_at - a.connected_at
