/** Administration: how much is stored, and how many users are online. */
import { Type } from 'typebox'
import { type Messaging } from '../../../messaging/start.ts'
import { type App } from '../../app.ts'
import { adminOperation, problems } from '../../contract/operations.ts'
import { orNull } from '../../contract/schemas.ts'
import { AskedNodes, askedNodes } from './sessions.ts'

const Count = (exactness: string) => Type.Object({
  count: Type.Integer({ minimum: 0 }),
  exact: Type.Boolean({ description: exactness })
})
const Estimated = Count('False for a large table: estimated from its size, within some per cent')

const Online = {
  users: Type.Integer({ minimum: 0 }),
  connections: Type.Integer({ minimum: 0 }),
  tracked_sessions: Type.Integer({ minimum: 0, description: 'Connections that acknowledge' })
}

export function statisticsRoutes (app: App, { statistics }: Messaging): void {
  app.get('/statistics', {
    schema: {
      ...adminOperation(
        'How much is stored, and how many users are online',
        'Costs the same for a database of any size: counts of large tables are estimated, and say so.'
      ),
      response: {
        200: Type.Object({
          users: Estimated,
          conversations: Estimated,
          messages: Estimated,
          inbox_events: Estimated,
          push: Type.Object({
            due: Count('False: at least so many'),
            oldest_due_seconds: orNull(Type.Number({
              description: 'How long the oldest has waited; null when none is due'
            }))
          }),
          database_bytes: Type.Integer({ minimum: 0 }),
          online: Type.Object({
            ...Online,
            users: Type.Integer({ minimum: 0, description: 'A user connected to two nodes counts twice' }),
            nodes: Type.Array(Type.Object({ node: Type.String(), ...Online }))
          }),
          nodes: AskedNodes
        }, { description: 'Of all nodes that answered' }),
        ...problems('admin_required')
      }
    }
  }, async () => {
    const { stored, nodes } = await statistics()
    const perNode = nodes.answers.map(({ node, answer }) => ({ node, ...answer }))
    const total = (of: 'users' | 'connections' | 'tracked_sessions'): number =>
      perNode.reduce((sum, node) => sum + node[of], 0)
    return {
      users: stored.users,
      conversations: stored.conversations,
      messages: stored.messages,
      inbox_events: stored.inboxEvents,
      push: { due: stored.pushesDue, oldest_due_seconds: stored.oldestDueSeconds },
      database_bytes: stored.databaseBytes,
      online: {
        users: total('users'),
        connections: total('connections'),
        tracked_sessions: total('tracked_sessions'),
        nodes: perNode
      },
      nodes: askedNodes(nodes)
    }
  })
}
