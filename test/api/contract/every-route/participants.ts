import { type Rows, UNKNOWN } from './world.ts'

const of = (conversationId: string, userId: string): string =>
  `/conversations/${conversationId}/participants/${userId}`

export const participants: Rows = {
  'GET /conversations/{id}/participants': {
    success: { 200: ({ alice, team }) => alice.get(`/conversations/${team}/participants?limit=1`) },
    problems: {
      invalid_cursor: ({ alice, team }) => alice.get(`/conversations/${team}/participants?cursor=IA`),
      not_a_participant: ({ carol, team }) => carol.get(`/conversations/${team}/participants`),
      conversation_not_found: ({ alice }) => alice.get(`/conversations/${UNKNOWN}/participants`)
    },
    outsider: ['conversation_not_found', ({ mallory, pair }) =>
      mallory.get(`/conversations/${pair}/participants`)]
  },
  'POST /conversations/{id}/participants': {
    success: {
      200: async ({ alice, carol, newTeam }) =>
        await alice.post(`/conversations/${await newTeam()}/participants`, { user_ids: [carol.id] })
    },
    problems: {
      admin_required: ({ bob, team }) => bob.post(`/conversations/${team}/participants`, { user_id: 'x' }),
      not_a_participant: ({ carol, team }) =>
        carol.post(`/conversations/${team}/participants`, { user_id: carol.id }),
      conversation_not_found: ({ alice }) =>
        alice.post(`/conversations/${UNKNOWN}/participants`, { user_id: 'x' }),
      direct_conversation: ({ alice, pair }) =>
        alice.post(`/conversations/${pair}/participants`, { user_id: 'x' }),
      too_many_participants: ({ alice, team }) => alice.post(
        `/conversations/${team}/participants`, { user_ids: Array.from({ length: 999 }, (_, i) => `u${i}`) }
      )
    },
    outsider: ['conversation_not_found', ({ mallory, team }) =>
      mallory.post(`/conversations/${team}/participants`, { user_id: mallory.id })]
  },
  'PATCH /conversations/{id}/participants/{user_id}': {
    success: {
      204: async ({ alice, bob, newTeam }) =>
        await alice.patch(of(await newTeam(), bob.id), { role: 'admin' })
    },
    problems: {
      admin_required: ({ bob, team }) => bob.patch(of(team, bob.id), { role: 'admin' }),
      not_a_participant: ({ carol, bob, team }) => carol.patch(of(team, bob.id), { role: 'admin' }),
      conversation_not_found: ({ alice, bob }) => alice.patch(of(UNKNOWN, bob.id), { role: 'admin' }),
      participant_not_found: ({ alice, mallory, team }) =>
        alice.patch(of(team, mallory.id), { role: 'admin' }),
      direct_conversation: ({ alice, bob, pair }) => alice.patch(of(pair, bob.id), { role: 'admin' }),
      last_admin: ({ alice, team }) => alice.patch(of(team, alice.id), { role: 'member' })
    },
    outsider: [
      'conversation_not_found', ({ mallory, bob, team }) => mallory.patch(of(team, bob.id), { role: 'admin' })
    ]
  },
  'DELETE /conversations/{id}/participants/{user_id}': {
    success: { 204: async ({ bob, newTeam }) => await bob.delete(of(await newTeam(), bob.id)) },
    problems: {
      admin_required: ({ alice, bob, team }) => bob.delete(of(team, alice.id)),
      not_a_participant: ({ carol, team }) => carol.delete(of(team, carol.id)),
      conversation_not_found: ({ alice, bob }) => alice.delete(of(UNKNOWN, bob.id)),
      participant_not_found: ({ alice, mallory, team }) => alice.delete(of(team, mallory.id)),
      direct_conversation: ({ alice, pair }) => alice.delete(of(pair, alice.id))
    },
    outsider: ['conversation_not_found', ({ mallory, bob, team }) => mallory.delete(of(team, bob.id))]
  }
}
