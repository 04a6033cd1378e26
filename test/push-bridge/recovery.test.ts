/** What sessions left unacknowledged that nobody watches any more: a record, page by page, messages only. */
import pino from 'pino'
import { expect, test } from 'vitest'
import { unavailable } from '../../core/errors.ts'
import { createOverdue } from '../../messaging/deliver/overdue.ts'
import { recoverPage, requestRecovery } from '../../store/push/recovery.ts'
import { until } from '../support/until.ts'
import { createWorld, recordingSender, type World } from './world.ts'

const USERS = ['ada', 'ben', 'cleo', 'dan', 'eve']

/** A message to each of the users, of which no push is due: a crash took what would have made it. */
async function leaveUnwatched (world: World): Promise<void> {
  for (const userId of USERS) await world.phone(userId)
  const group = await world.group('Team', 'ana', ...USERS)
  await world.say('ana', group, 'hello')
  await world.sql('delete from push_due')
}

const page = (world: World, limit: number): Promise<number | undefined> =>
  world.database.transact(tx => recoverPage(tx, { limit, since: new Date(Date.now() - 86_400_000) }))

const due = async (world: World): Promise<string[]> =>
  (await world.sql<{ user_id: string }>('select user_id from push_due order by user_id'))
    .map(row => row.user_id)

test('a recovery goes on where another process left it, and ends behind the last user', async () => {
  await using world = await createWorld()
  await leaveUnwatched(world)
  await requestRecovery(world.database.autocommit, new Date())
  expect(await page(world, 3)).toBe(2) // ana, who sends, is the first
  expect(await due(world)).toEqual(['ada', 'ben'])
  const sender = recordingSender()
  // The request of a bridge that starts begins again; what is due stays due once.
  await world.bridge(sender, { graceMs: 0 })
  await world.settled()
  expect(sender.pushes.map(push => push.userId).sort()).toEqual(USERS)
})

test('a running bridge takes up what a node that died had to leave', async () => {
  await using world = await createWorld()
  await leaveUnwatched(world)
  const sender = recordingSender()
  await world.bridge(sender)
  await world.sql('delete from push_due')
  let attempts = 0
  const { autocommit } = world.database
  const overdue = createOverdue({
    database: {
      ...world.database,
      autocommit: {
        orm: autocommit.orm,
        async rows (statement, values) {
          if (++attempts === 1) throw unavailable('away')
          return await autocommit.rows(statement, values)
        }
      }
    },
    findSessions: async () => ({ present: new Set(), certain: true }),
    sessionsTold: async () => {},
    graceMs: 0,
    now: Date.now,
    pushDue () {},
    log: pino({ enabled: false })
  })
  overdue.nodeLost()
  await until(() => sender.pushes.length === USERS.length, 'all are told')
  expect(attempts).toBe(2)
  expect(sender.pushes.map(push => push.userId).sort()).toEqual(USERS)
})

test('only messages of the last day, and only phones that were not told of them, are recovered', async () => {
  await using world = await createWorld()
  await leaveUnwatched(world)
  await world.sql("update inbox_events set type = 'reaction_added' where user_id = 'ada' and seq = 2")
  await world.sql("update inbox_events set created_at = now() - interval '25 hours' where user_id = 'ben'")
  await world.sql("update devices set pushed_seq = 2 where user_id = 'cleo'")
  await world.sql("update devices set push_token = null where user_id = 'dan'")
  await requestRecovery(world.database.autocommit, new Date())
  expect(await page(world, 100)).toBe(1)
  expect(await due(world)).toEqual(['eve'])
  expect(await page(world, 100)).toBe(0)
  expect(await page(world, 100)).toBeUndefined()
})
