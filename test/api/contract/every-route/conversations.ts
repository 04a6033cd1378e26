import { type Rows, UNKNOWN } from './world.ts'

export const conversations: Rows = {
  'POST /conversations': {
    success: {
      201: ({ alice, bob }) => alice.post('/conversations', { type: 'group', participant_ids: [bob.id] }),
      200: ({ alice, bob }) => alice.post('/conversations', { type: 'direct', participant_ids: [bob.id] })
    },
    problems: {
      invalid_participants: ({ alice }) =>
        alice.post('/conversations', { type: 'direct', participant_ids: [] }),
      invalid_title: ({ alice, bob }) =>
        alice.post('/conversations', { type: 'direct', participant_ids: [bob.id], title: 'Two' }),
      invalid_text: ({ alice }) =>
        alice.post('/conversations', { type: 'group', participant_ids: [], title: '\0' }),
      too_many_participants: ({ alice }) => alice.post(
        '/conversations', { type: 'group', participant_ids: Array.from({ length: 1_000 }, (_, i) => `u${i}`) }
      )
    },
    outsider: 'every user may open a conversation with every other'
  },
  'GET /conversations': {
    success: { 200: ({ alice }) => alice.get('/conversations') },
    problems: { invalid_cursor: ({ alice }) => alice.get('/conversations?cursor=abc') },
    outsider: 'the list is always that of the caller'
  },
  'GET /conversations/{id}': {
    success: { 200: ({ alice, team }) => alice.get(`/conversations/${team}`) },
    problems: {
      not_a_participant: ({ carol, team }) => carol.get(`/conversations/${team}`),
      conversation_not_found: ({ alice }) => alice.get(`/conversations/${UNKNOWN}`)
    },
    outsider: ['conversation_not_found', ({ mallory, pair }) => mallory.get(`/conversations/${pair}`)]
  },
  'PATCH /conversations/{id}': {
    success: { 200: ({ alice, team }) => alice.patch(`/conversations/${team}`, { title: 'Weekend' }) },
    problems: {
      invalid_title: ({ alice, team }) => alice.patch(`/conversations/${team}`, { title: 'x'.repeat(201) }),
      invalid_text: ({ alice, team }) => alice.patch(`/conversations/${team}`, { title: 'a\0' }),
      invalid_muted_until: ({ alice, team }) =>
        alice.patch(`/conversations/${team}`, { muted_until: '0000-01-01T00:00:00Z' }),
      admin_required: ({ bob, team }) => bob.patch(`/conversations/${team}`, { title: 'Mine' }),
      not_a_participant: ({ carol, team }) => carol.patch(`/conversations/${team}`, { muted_until: null }),
      conversation_not_found: ({ alice }) => alice.patch(`/conversations/${UNKNOWN}`, { title: 'x' }),
      direct_conversation: ({ alice, pair }) => alice.patch(`/conversations/${pair}`, { title: 'x' })
    },
    outsider: ['conversation_not_found', ({ mallory, pair }) =>
      mallory.patch(`/conversations/${pair}`, { muted_until: null })]
  },
  'POST /conversations/{id}/typing': {
    success: { 204: ({ alice, pair }) => alice.post(`/conversations/${pair}/typing`, { is_typing: true }) },
    problems: {
      not_a_participant: ({ carol, team }) =>
        carol.post(`/conversations/${team}/typing`, { is_typing: true }),
      sending_not_allowed: async ({ alice, bob, newTeam }) => {
        const id = await newTeam()
        await alice.patch(`/conversations/${id}/participants/${bob.id}`, { can_send_messages: false })
        return await bob.post(`/conversations/${id}/typing`, { is_typing: true })
      },
      conversation_not_found: ({ alice }) =>
        alice.post(`/conversations/${UNKNOWN}/typing`, { is_typing: true })
    },
    outsider: ['conversation_not_found', ({ mallory, pair }) =>
      mallory.post(`/conversations/${pair}/typing`, { is_typing: true })]
  }
}
