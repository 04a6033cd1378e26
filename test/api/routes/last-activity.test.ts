/**
 * When a conversation was last active: told in order, whatever the clocks of nodes and waiting for locks do.
 */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { eq, sql } from 'drizzle-orm'
import { conversations } from '../../../migrations/schema.ts'
import { enterParticipants } from '../../../store/conversations/conversations.ts'
import { until } from '../../support/until.ts'
import { type Caller, group, send, startTestApi, type TestApi } from '../api.ts'

let api: TestApi
let alice: Caller
let bob: Caller

beforeAll(async () => {
  api = await startTestApi()
  alice = await api.user('alice')
  bob = await api.user('bob')
})
afterAll(() => api[Symbol.asyncDispose]())

test('neither a message nor a participant sets it back when another node\'s clock is ahead', async () => {
  const id = await group(alice, bob)
  const ahead = new Date(Date.now() + 60_000)
  await api.messaging.database.transact(tx =>
    tx.orm.update(conversations).set({ last_activity_at: ahead }).where(eq(conversations.id, id)))
  const shown = async (): Promise<string> => (await alice.get(`/conversations/${id}`)).body.last_activity_at
  expect((await send(alice, id, 'hello')).status).toBe(201)
  expect(await shown()).toBe(ahead.toISOString())
  const carol = await api.user('carol')
  expect((await alice.post(`/conversations/${id}/participants`, { user_id: carol.id })).status).toBe(200)
  expect(await shown()).toBe(ahead.toISOString())
})

test('a message that waited for its conversation is younger than what it waited for', async () => {
  const id = await group(alice, bob)
  const { database } = api.messaging
  const waiting = async (): Promise<boolean> =>
    (await database.autocommit.orm.execute(sql`select 1 from pg_locks where not granted`)).rows.length > 0
  const { sending, released } = await database.transact(async tx => {
    await enterParticipants(tx, id, [{ user_id: 'latecomer', role: 'member' }], 0, new Date())
    const sending = send(alice, id, 'hello')
    await until(waiting, 'the message waits')
    return { sending: [sending], released: Date.now() }
  })
  expect(Date.parse((await sending[0]!).body.created_at)).toBeGreaterThanOrEqual(released)
})
