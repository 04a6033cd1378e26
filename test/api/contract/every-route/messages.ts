import { type Caller, send } from '../../api.ts'
import { type Ask, type Row, type Rows, UNKNOWN, type World } from './world.ts'

const say = (
  sender: (world: World) => Caller, more: object, conversation: keyof World & ('pair' | 'team') = 'pair'
): Ask =>
  world => send(sender(world), world[conversation], 'Hello!', more)
const alice = ({ alice }: World): Caller => alice

const history = (path: (id: string) => string): Row => ({
  success: { 200: ({ bob, pair }) => bob.get(path(pair)) },
  problems: {
    invalid_cursor: async ({ bob, team, say }) =>
      await bob.get(`${path(team)}?before_id=${(await say()).id}`),
    not_a_participant: ({ carol, team }) => carol.get(path(team)),
    conversation_not_found: ({ bob }) => bob.get(path(UNKNOWN))
  },
  outsider: ['conversation_not_found', ({ mallory, pair }) => mallory.get(path(pair))]
})

export const messages: Rows = {
  'POST /messages': {
    success: {
      201: say(alice, {}),
      200: async ({ alice, pair }) => {
        await send(alice, pair, 'once', { client_message_id: 'row-1' })
        return await send(alice, pair, 'once', { client_message_id: 'row-1' })
      }
    },
    problems: {
      content_empty: say(alice, { content: '' }),
      content_too_long: say(alice, { content: 'x'.repeat(10_001) }),
      invalid_text: say(alice, { content: 'a\0' }),
      invalid_user_id: say(alice, { mentions: [{ user_id: 'not an id', offset: 0, length: 1 }] }),
      mention_outside_content: say(alice, { mentions: [{ user_id: 'bob', offset: 0, length: 100 }] }),
      invalid_reply: say(alice, { reply_to_id: UNKNOWN }),
      unknown_attachment: say(alice, { attachment_ids: [UNKNOWN] }),
      duplicate_attachment: say(alice, { attachment_ids: [UNKNOWN, UNKNOWN] }),
      invalid_header: ({ alice, pair }) => alice.post('/messages', {
        conversation_id: pair, content: 'x', message_type: 'text'
      }, { 'idempotency-key': 'k'.repeat(129) }),
      idempotency_key_mismatch: ({ alice, pair }) => alice.post('/messages',
        {
          conversation_id: pair, content: 'x', message_type: 'text', client_message_id: 'one'
        }, { 'idempotency-key': 'another' }),
      client_message_id_reused: async ({ alice, pair }) => {
        await send(alice, pair, 'one', { client_message_id: 'row-2' })
        return await send(alice, pair, 'another', { client_message_id: 'row-2' })
      },
      conversation_not_found: say(alice, { conversation_id: UNKNOWN }),
      not_a_participant: say(({ carol }) => carol, {}, 'team'),
      sending_not_allowed: async ({ alice, bob, newTeam }) => {
        const id = await newTeam()
        await alice.patch(`/conversations/${id}/participants/${bob.id}`, { can_send_messages: false })
        return await send(bob, id, 'muted')
      }
    },
    outsider: ['conversation_not_found', say(({ mallory }) => mallory, {})]
  },
  'GET /conversations/{id}/messages': history(id => `/conversations/${id}/messages`),
  'GET /messages/{id}': history(id => `/messages/${id}`),
  'GET /messages/search': {
    success: { 200: ({ bob }) => bob.get('/messages/search?q=hello') },
    problems: {
      invalid_query: ({ bob }) => bob.get('/messages/search?q=...'),
      invalid_text: ({ bob }) => bob.get('/messages/search?q=a%00'),
      not_a_participant: ({ carol, team }) => carol.get(`/messages/search?q=hello&conversation_id=${team}`),
      conversation_not_found: ({ bob }) => bob.get(`/messages/search?q=hello&conversation_id=${UNKNOWN}`),
      query_too_broad:
        'needs more messages than a test of routes has; test/api/routes/search.test.ts shows the limit'
    },
    outsider: ['conversation_not_found', ({ mallory, pair }) =>
      mallory.get(`/messages/search?q=hello&conversation_id=${pair}`)]
  },
  'GET /messages/{id}/status': {
    success: { 200: async ({ alice, say }) => await alice.get(`/messages/${(await say()).id}/status`) },
    problems: {
      not_the_sender: async ({ bob, say }) => await bob.get(`/messages/${(await say()).id}/status`),
      not_a_participant: async ({ carol, team, say }) =>
        await carol.get(`/messages/${(await say(team)).id}/status`),
      message_not_found: ({ alice }) => alice.get(`/messages/${UNKNOWN}/status`)
    },
    outsider: ['message_not_found', async ({ mallory, say }) =>
      await mallory.get(`/messages/${(await say()).id}/status`)]
  },
  'POST /messages/{id}/read': {
    success: { 204: async ({ bob, say }) => await bob.post(`/messages/${(await say()).id}/read`) },
    problems: {
      not_a_participant: async ({ carol, team, say }) =>
        await carol.post(`/messages/${(await say(team)).id}/read`),
      message_not_found: ({ bob }) => bob.post(`/messages/${UNKNOWN}/read`)
    },
    outsider: ['message_not_found', async ({ mallory, say }) =>
      await mallory.post(`/messages/${(await say()).id}/read`)]
  }
}
