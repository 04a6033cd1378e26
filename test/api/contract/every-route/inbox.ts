import { type Answer, inboxEnd } from '../../api.ts'
import { runSql } from '../../../support/database.ts'
import { type Ask, type Rows, type World } from './world.ts'

const acknowledge = (
  seq: (world: World) => number | Promise<number>, device = 'phone'
): Ask => async (world): Promise<Answer> =>
  await world.bob.post('/inbox/ack', { seq: await seq(world) }, device === ''
    ? {}
    : { 'x-device-id': device })

export const inbox: Rows = {
  'GET /inbox': {
    success: { 200: ({ bob }) => bob.get('/inbox') },
    problems: {
      resync_required: async ({ api, alice, newTeam }) => {
        await newTeam()
        const end = await inboxEnd(alice)
        await runSql(
          api.databaseUrl, `delete from inbox_events where user_id = '${alice.id}' and seq <= ${end}`
        )
        return await alice.get(`/inbox?after=${end - 1}`)
      }
    },
    outsider: 'the inbox is always that of the caller'
  },
  'POST /inbox/ack': {
    success: { 204: acknowledge(({ bob }) => inboxEnd(bob)) },
    problems: {
      device_id_required: acknowledge(() => 0, ''),
      invalid_header: acknowledge(() => 0, 'd'.repeat(129)),
      invalid_text: 'HTTP carries no U+0000 in a header, and UTF-8 no lone surrogate',
      seq_beyond_end: acknowledge(() => 1_000_000)
    },
    outsider: 'the inbox is always that of the caller'
  }
}
