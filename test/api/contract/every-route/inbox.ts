import { type Answer, inboxEnd } from '../../api.ts'
import { openEvents } from '../../../support/event-stream.ts'
import { runSql } from '../../../support/database.ts'
import { type Ask, type Rows, type World } from './world.ts'

const acknowledge = (
  seq: (world: World) => number | Promise<number>, device = 'phone'
): Ask => async (world): Promise<Answer> =>
  await world.bob.post('/inbox/ack', { seq: await seq(world) }, device === ''
    ? {}
    : { 'x-device-id': device })

/** A stream has no end: its head is the answer. */
async function headOfStream ({ api, bob }: World): Promise<Answer> {
  using reader = await openEvents(`${api.url}/api/v1`, bob.token)
  return { status: reader.status, headers: new Headers(), body: undefined }
}

const events = (headers: Record<string, string>): Ask => ({ bob }) =>
  bob.request('GET', '/events', undefined, { headers })

export const inbox: Rows = {
  'GET /events': {
    success: { 200: headOfStream },
    problems: {
      resync_required: events({ 'last-event-id': '1000000' }),
      invalid_header: events({ 'x-device-id': 'd'.repeat(129) }),
      invalid_text: 'HTTP carries no U+0000 in a header, and UTF-8 no lone surrogate'
    },
    outsider: 'the inbox is always that of the caller'
  },
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
