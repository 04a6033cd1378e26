import { runSql } from '../../../support/database.ts'
import { type Answer } from '../../api.ts'
import { type Ask, type Rows, UNKNOWN, type World } from './world.ts'

const THUMB = encodeURIComponent('👍')
type Act = (world: World, path: string) => Promise<Answer>

/** On a fresh message of alice. */
const on = (act: Act, conversation: 'pair' | 'team' = 'pair', suffix = ''): Ask => async world =>
  await act(world, `/messages/${(await world.say(world[conversation])).id}${suffix}`)
const onDeleted = (act: Act, suffix = ''): Ask => on(async (world, path) => {
  await world.alice.delete(path)
  return await act(world, `${path}${suffix}`)
})
const edit = (content: string, more: object = {}): Ask =>
  on(({ alice }, path) => alice.patch(path, { content, ...more }))
const idOf = (path: string): string => path.split('/')[2]!

const reactionProblems = (method: 'PUT' | 'DELETE') => ({
  invalid_emoji: on(({ bob }, path) => bob.request(method, `${path}/reactions/text`)),
  not_a_participant: on(({ carol }, path) => carol.request(method, path), 'team', `/reactions/${THUMB}`),
  message_not_found: ({ bob }: World) => bob.request(method, `/messages/${UNKNOWN}/reactions/${THUMB}`),
  message_deleted: onDeleted(({ bob }, path) => bob.request(method, path), `/reactions/${THUMB}`)
})
const reaction = (method: 'PUT' | 'DELETE', caller: 'bob' | 'mallory'): Ask =>
  on((world, path) => world[caller].request(method, path), 'pair', `/reactions/${THUMB}`)

export const messageChanges: Rows = {
  'PATCH /messages/{id}': {
    success: { 200: edit('Hello, all!') },
    problems: {
      content_empty: edit(''),
      content_too_long: edit('x'.repeat(10_001)),
      invalid_text: edit('a\0'),
      invalid_user_id: edit('x', { mentions: [{ user_id: 'not an id', offset: 0, length: 1 }] }),
      mention_outside_content: edit('x', { mentions: [{ user_id: 'bob', offset: 0, length: 9 }] }),
      not_the_sender: on(({ bob }, path) => bob.patch(path, { content: 'mine' })),
      sending_not_allowed: async ({ alice, bob, newTeam }) => {
        const team = await newTeam()
        const { id } =
          (await bob.post('/messages', { conversation_id: team, content: 'x', message_type: 'text' })).body
        await alice.patch(`/conversations/${team}/participants/${bob.id}`, { can_send_messages: false })
        return await bob.patch(`/messages/${id}`, { content: 'y' })
      },
      not_a_participant: on(({ carol }, path) => carol.patch(path, { content: 'x' }), 'team'),
      message_not_found: ({ alice }) => alice.patch(`/messages/${UNKNOWN}`, { content: 'x' }),
      message_deleted: onDeleted(({ alice }, path) => alice.patch(path, { content: 'x' })),
      too_many_edits: on(async ({ api, alice }, path) => {
        await runSql(api.databaseUrl, `
          insert into message_edits (message_id, version, content, mentions, replaced_at)
          select '${idOf(path)}', n, 'x', '[]', now() from generate_series(1, 100) n`)
        return await alice.patch(path, { content: 'once more' })
      })
    },
    outsider: ['message_not_found', on(({ mallory }, path) => mallory.patch(path, { content: 'x' }))]
  },
  'DELETE /messages/{id}': {
    success: { 204: on(({ alice }, path) => alice.delete(path)) },
    problems: {
      not_the_sender: on(({ bob }, path) => bob.delete(path)),
      not_a_participant: on(({ carol }, path) => carol.delete(path), 'team'),
      message_not_found: ({ alice }) => alice.delete(`/messages/${UNKNOWN}`)
    },
    outsider: ['message_not_found', on(({ mallory }, path) => mallory.delete(path))]
  },
  'PUT /messages/{id}/reactions/{emoji}': {
    success: { 204: reaction('PUT', 'bob') },
    problems: {
      ...reactionProblems('PUT'),
      too_many_reactions: on(async ({ api, bob }, path) => {
        await runSql(api.databaseUrl, `insert into reactions (message_id, user_id, emoji, created_at)
          select '${idOf(path)}', '${bob.id}', 'r' || n, now() from generate_series(1, 20) n`)
        return await bob.put(`${path}/reactions/${THUMB}`)
      })
    },
    outsider: ['message_not_found', reaction('PUT', 'mallory')]
  },
  'DELETE /messages/{id}/reactions/{emoji}': {
    success: { 204: reaction('DELETE', 'bob') },
    problems: reactionProblems('DELETE'),
    outsider: ['message_not_found', reaction('DELETE', 'mallory')]
  },
  'GET /admin/messages/{id}/versions': {
    success: { 200: async ({ root, say }) => await root.get(`/admin/messages/${(await say()).id}/versions`) },
    problems: {
      admin_required: async ({ alice, say }) =>
        await alice.get(`/admin/messages/${(await say()).id}/versions`),
      message_not_found: ({ root }) => root.get(`/admin/messages/${UNKNOWN}/versions`)
    },
    outsider: ['admin_required', async ({ mallory, say }) =>
      await mallory.get(`/admin/messages/${(await say()).id}/versions`)]
  }
}
