import { type Rows, UNKNOWN } from './world.ts'

export const drafts: Rows = {
  'PUT /conversations/{id}/draft': {
    success: { 200: ({ alice, pair }) => alice.put(`/conversations/${pair}/draft`, { content: 'See you' }) },
    problems: {
      content_too_long: ({ alice, pair }) =>
        alice.put(`/conversations/${pair}/draft`, { content: '😀'.repeat(10_001) }),
      invalid_text: ({ alice, pair }) => alice.put(`/conversations/${pair}/draft`, { content: 'a\0' }),
      not_a_participant: ({ carol, team }) => carol.put(`/conversations/${team}/draft`, { content: 'x' }),
      conversation_not_found: ({ alice }) => alice.put(`/conversations/${UNKNOWN}/draft`, { content: 'x' })
    },
    outsider: ['conversation_not_found', ({ mallory, pair }) =>
      mallory.put(`/conversations/${pair}/draft`, { content: '' })]
  },
  'GET /drafts': {
    success: { 200: ({ alice }) => alice.get('/drafts') },
    outsider: 'the list is always that of the caller'
  }
}
