/** Every path that writes takes its locks in the order that store/locks.ts states. */
import { expect, test } from 'vitest'
import { startPushBridge } from '../../push-bridge/start.ts'
import { openDatabase } from '../../store/database.ts'
import { ROWS } from '../api/contract/every-route/rows.ts'
import { makeWorld } from '../api/contract/every-route/world.ts'
import { direct, group, inboxEnd, send, startTestApi } from '../api/api.ts'
import { recordLocks } from '../support/lock-order.ts'
import { until } from '../support/until.ts'

test('conversations are locked before users, both by id, and everything else after them, by every path that writes', async () => {
  const locks = recordLocks()
  await using api = await startTestApi()
  const world = await makeWorld(api)
  const { alice, bob, carol, root, pair } = world
  for (const { success } of Object.values(ROWS)) for (const ask of Object.values(success)) await ask(world)

  // What no request of the table does.
  const team = await group(alice, bob, carol)
  await carol.patch(`/conversations/${team}`, { muted_until: '2030-01-01T00:00:00Z' })
  await alice.patch(`/conversations/${team}`, { title: 'New', muted_until: '2030-01-01T00:00:00Z' })
  await alice.delete(`/conversations/${team}/participants/${carol.id}`)
  await alice.post(`/conversations/${team}/participants`, { user_ids: [carol.id, 'never-seen', 'another'] })
  await alice.delete(`/conversations/${team}/participants/${alice.id}`)
  await bob.put('/devices/phone', { platform: 'ios', push_token: 'bob-phone' })
  const { body: message } = await send(alice, pair, 'hello')
  const pushes: unknown[] = []
  const database = openDatabase(api.databaseUrl)
  try {
    await using bridge = await startPushBridge({
      database,
      epoch: () => api.messaging.epoch,
      log: { debug () {}, info () {}, warn () {}, error () {} } as never,
      graceMs: 0,
      sender: {
        async send (sent) {
          pushes.push(...sent)
          return sent.map(() => ({ outcome: 'ok' as const }))
        }
      }
    })
    await until(() => pushes.length > 0, 'the message is pushed')
    expect(bridge.health().ok).toBe(true)
    const seq = await inboxEnd(bob)
    await bob.post('/inbox/ack', { seq }, { 'x-device-id': 'phone' })
    await bob.post(`/messages/${message.id}/read`)
    await until(async () => (await bob.get('/devices/phone')).body.acked_seq === seq, 'it is acknowledged')
  } finally {
    await database[Symbol.asyncDispose]()
  }
  // Nothing is known of it, and where it ends for one of them moves at once.
  const silent = await direct(alice, carol)
  await carol.put(`/blocks/${alice.id}`)
  await send(alice, silent, 'hidden')
  await send(alice, pair, 'to be erased')
  await alice.put(`/messages/${message.id}/reactions/👍`)
  await root.post(`/admin/users/${alice.id}/erase`)
  await until(async () => (await root.get(`/admin/users/${alice.id}/erasure`)).body.finished_at !== null,
    'the erasure is done')
  await bob.post('/conversations', { type: 'direct', participant_ids: [alice.id] })

  await until(() => [...locks.orders].some(order => order.startsWith('erasures')), 'all were looked at')
  expect(locks.violations.join('\n')).toBe('')
  expect([...locks.orders]).toEqual(expect.arrayContaining([
    expect.stringMatching(/^conversations > users > .*conversation_participants/),
    expect.stringMatching(/^users > .*devices/)
  ]))
})
