/** A user with many conversations changes their name. */
import { expect, test } from 'vitest'
import { type WakeEvent } from '../../../messaging/deliver/wakes.ts'
import { createProfiles } from '../../../messaging/people/profiles.ts'
import { startAlone } from '../cluster/nodes.ts'

const GROUPS = 60

test('a new name is told in pieces, each user in one of them', { timeout: 60_000 }, async () => {
  await using node = await startAlone()
  const { database, epoch, conversations, now } = node.messaging
  for (let n = 0; n < GROUPS; n++) {
    await conversations.create('ann', {
      type: 'group', participant_ids: Array.from({ length: 31 }, (_, i) => `fellow-${n}-${i}`)
    })
  }
  const pieces: WakeEvent[][] = []
  const profiles =
    createProfiles({ database, epoch: () => epoch, now, wake: events => { pieces.push(events) } })
  await profiles.rename('ann', 'Ann')
  expect(pieces.flat()).toHaveLength(GROUPS * 32)
  expect(pieces.length).toBeGreaterThan(10)
  for (const piece of pieces) expect(new Set(piece.map(event => event.userId)).size).toBeLessThanOrEqual(100)
  const users = pieces.flatMap(piece => [...new Set(piece.map(event => event.userId))])
  expect(users.length).toBe(new Set(users).size)
})
