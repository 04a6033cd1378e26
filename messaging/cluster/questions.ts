/** What one node asks all of them, itself included, and how it answers. */
import { type Connection, type Connections, type ConnectionState } from '../deliver/connections.ts'
import { type TrackedSessions } from '../deliver/tracked-sessions.ts'

export interface Questions {
  /** The connections of a user. */
  sessions: { asks: { userId: string }, answer: ConnectionState[] }
  /** Ends them, or that of one device; how many that were. */
  disconnect: { asks: { userId: string, deviceId?: string }, answer: number }
  totals: { asks: object, answer: Totals }
}

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

export function answerFrom (connections: Connections, sessions: TrackedSessions): Answering {
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
      ({ users: connections.users(), connections: connections.count(), tracked_sessions: sessions.count() })
  }
}
