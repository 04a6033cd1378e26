/** Administration: the sessions of a user on every node. */
import { Type } from 'typebox'
import { checkText } from '../../../core/message-rules.ts'
import { type ConnectionState } from '../../../messaging/deliver/connections.ts'
import { byLag, type Answers } from '../../../messaging/cluster/questions.ts'
import { type Messaging } from '../../../messaging/start.ts'
import { MAX_DEVICES_SHOWN } from '../../../messaging/admin/user-connections.ts'
import { type StoredDevice } from '../../../store/people/devices.ts'
import { type App } from '../../app.ts'
import { callerOf } from '../../authentication.ts'
import { adminOperation, problems } from '../../contract/operations.ts'
import { DEFAULT_PAGE, pageLimit } from '../../contract/paging.ts'
import { DeviceId, orNull, Platform, Seq, Time, UserById, UserId } from '../../contract/schemas.ts'

export const AskedNodes = Type.Object({
  answered: Type.Array(Type.String({ description: 'A process; its id lasts as long as it runs' })),
  silent: Type.Array(
    Type.String(), { description: 'Did not answer within a second; what they hold is missing here' }
  ),
  complete: Type.Boolean({
    description: 'False when a node was silent, or Redis is away and others cannot be known'
  })
}, { description: 'The nodes that were asked' })

export const askedNodes = ({ answers, silent, nodesKnown }: Answers<unknown>) =>
  ({ answered: answers.map(({ node }) => node), silent, complete: nodesKnown && silent.length === 0 })

const liveSession = {
  node: Type.String(),
  door: Type.Enum(['mqtt', 'websocket', 'grpc', 'sse'], { description: 'How it is connected' }),
  device_id: DeviceId,
  delivery: Type.Enum(['tracked', 'live', 'none'], {
    description:
      '`tracked` acknowledges, `live` is a copy without tracking, `none` has not subscribed to the inbox'
  }),
  clean_session: Type.Boolean(),
  connected_at: Time,
  last_active_at: Time,
  unacknowledged: Type.Integer({ minimum: 0, description: 'Events sent and not acknowledged' }),
  lag: Type.Integer({ minimum: 0, description: 'Events from what is acknowledged to the end of the log' }),
  token_expires_at: Time
}

const LiveSession = Type.Object({
  ...liveSession,
  address: orNull(Type.String({
    description: 'Where the device is, as far as a balancer in between tells', examples: ['203.0.113.7']
  }))
})

const KnownDevice = Type.Object({
  device_id: DeviceId,
  platform: orNull(Platform),
  has_push_token: Type.Boolean({ description: 'Only its user is shown the token itself' }),
  acked_seq: orNull(Seq),
  last_seen_at: Time
})

export function sessionRoutes (app: App, { userConnections, cluster }: Messaging): void {
  app.get('/sessions', {
    schema: {
      ...adminOperation(
        'The connections that are furthest behind, of all users on every node',
        'Of each node so many, then of all together. Without addresses, and so without a trace in the audit log.'
      ),
      querystring: Type.Object({ limit: pageLimit() }),
      response: {
        200: Type.Object({
          sessions: Type.Array(Type.Object({ user_id: UserId, ...liveSession })), nodes: AskedNodes
        }, { description: 'The largest lag first, then the latest' }),
        ...problems('admin_required')
      }
    }
  }, async request => {
    const { limit = DEFAULT_PAGE } = request.query
    const asked = await cluster.ask('furthest_behind', { limit })
    const sessions = asked.answers.flatMap(({ node, answer }) => answer.map(state => ({ node, ...state })))
    return { sessions: sessions.sort(byLag).slice(0, limit).map(sessionView), nodes: askedNodes(asked) }
  })

  app.get('/users/:id/sessions', {
    schema: {
      ...adminOperation(
        'The connections of a user on every node, and their stored devices',
        'Asks every node and answers within about a second with the answers that came. ' +
        'Looking is written to the audit log.'
      ),
      params: UserById,
      response: {
        200: Type.Object({
          inbox: Type.Object({ last_seq: Seq, acked_seq: Seq }),
          sessions: Type.Array(LiveSession),
          devices: Type.Array(KnownDevice, { description: `The ${MAX_DEVICES_SHOWN} last seen` }),
          nodes: AskedNodes
        }, { description: 'What is known of the user\'s devices' }),
        ...problems('admin_required', 'user_not_found')
      }
    }
  }, async request => {
    const { inbox, live, devices } = await userConnections.list(callerOf(request).userId, request.params.id)
    return {
      inbox: { last_seq: inbox.inbox_seq, acked_seq: inbox.acked_seq },
      sessions: live.answers.flatMap(({ node, answer }) =>
        answer.map(state => ({ node, ...sessionView(state) }))),
      devices: devices.map(deviceView),
      nodes: askedNodes(live)
    }
  })

  app.post('/users/:id/disconnect', {
    schema: {
      ...adminOperation(
        'End the connections of a user, or of one device',
        'They may come back at once, and stored cursors stay; `revoke` keeps them out.'
      ),
      params: UserById,
      body: Type.Union([
        Type.Object({ device_id: Type.Optional(DeviceId) }, { additionalProperties: false }), Type.Null()
      ]),
      response: {
        200: Type.Object({
          ended: Type.Integer({ minimum: 0 }), nodes: AskedNodes
        }, { description: 'How many connections ended' }),
        ...problems('invalid_text', 'admin_required', 'user_not_found')
      }
    }
  }, async request => {
    const deviceId = request.body?.device_id
    if (deviceId !== undefined) checkText(deviceId, 'device_id')
    const ended = await userConnections.disconnect(callerOf(request).userId, request.params.id, deviceId)
    return { ended: ended.answers.reduce((sum, { answer }) => sum + answer, 0), nodes: askedNodes(ended) }
  })
}

type Times = Pick<ConnectionState, 'connected_at' | 'last_active_at' | 'token_expires_at'>

const iso = (ms: number): string => new Date(ms).toISOString()

const sessionView = <State extends Times>(state: State) => ({
  ...state,
  connected_at: iso(state.connected_at),
  last_active_at: iso(state.last_active_at),
  token_expires_at: iso(state.token_expires_at)
})

const deviceView = (device: StoredDevice) => ({ ...device, last_seen_at: device.last_seen_at.toISOString() })
