/** Which acknowledgements a batch takes along, and that none is left behind. */
import pino from 'pino'
import { describe, expect, test, vi } from 'vitest'
import { type Delivery } from '../../../core/events.ts'
import { unavailable } from '../../../core/errors.ts'
import { type Committer, startCommitter } from '../../../messaging/log/commit.ts'
import { createAcknowledgementQueue } from '../../../messaging/receipts/acknowledgements.ts'
import { startTestBroker } from '../../support/broker.ts'
import { until } from '../../support/until.ts'

const delivery = (sender_user_id: string, told = true): Delivery =>
  ({ conversation_id: 'c', sender_user_id, message_id: 'm', seq: 1, stored_at: 0, told })
const acknowledgement = (userId: string, seq: number, deliveries: Delivery[] = []) =>
  ({ userId, deviceId: 'phone', seq, deliveries })

test('a batch takes what a tick depends on, and of the rest what belongs to users it writes', () => {
  const queue = createAcknowledgementQueue()
  for (const user of ['sender', 'silent', 'reader', 'other']) queue.add(acknowledgement(user, 1))
  expect([queue.size(), queue.awaited()]).toEqual([4, false])
  queue.add(acknowledgement('reader', 2, [delivery('sender'), delivery('silent', false)]))
  expect([queue.size(), queue.awaited()]).toEqual([4, true])
  expect(queue.take(false).map(({ userId, seq }) => [userId, seq])).toEqual([['reader', 2], ['sender', 1]])
  expect([queue.size(), queue.awaited(), queue.concerns('reader')]).toEqual([2, false, false])
  expect(queue.take(false)).toEqual([])
  const rest = queue.take(true)
  expect(rest.map(({ userId }) => userId)).toEqual(['silent', 'other'])
  queue.putBack(rest)
  queue.add(acknowledgement('other', 3), { resolve: () => {}, reject: () => {} })
  expect([queue.awaited(), queue.urgent()]).toEqual([true, true])
  expect(queue.take(false).map(({ userId, seq }) => [userId, seq])).toEqual([['other', 3]])
  expect([queue.size(), queue.awaited(), queue.urgent()]).toEqual([1, false, false])
})

describe('acknowledgements that nobody waits for, more than a batch holds', () => {
  let batches: number
  function committerWith (count: number): Committer {
    batches = 0
    const nothing = { storedAt: [], events: [], marks: new Map() }
    const database = {
      onOtherServer () {},
      async commit () {
        batches++
        return {
          context: { sends: { members: new Map() }, read: { conversations: new Map(), users: new Map() } },
          committed: {
            outcomes: [], large: [], messages: [], wakes: [], receipts: nothing, watched: new Map()
          }
        }
      }
    }
    const deps = { database, stored () {}, now: Date.now, log: pino({ enabled: false }) }
    const committer = startCommitter(deps as never)
    for (let i = 0; i < count; i++) committer.acknowledgements.add(acknowledgement(`user-${i}`, 1))
    return committer
  }

  test('are written one batch after the other', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] })
    try {
      await using committer = committerWith(600)
      await vi.advanceTimersByTimeAsync(600)
      expect([batches, committer.acknowledgements.waiting()]).toEqual([3, 0])
    } finally {
      vi.useRealTimers()
    }
  })

  test('are all written when the committer ends', async () => {
    const committer = committerWith(600)
    await committer[Symbol.asyncDispose]()
    expect([batches, committer.acknowledgements.waiting()]).toEqual([3, 0])
  })
})

test('what no sender waits for is written all the same, however much others send', async () => {
  await using broker = await startTestBroker()
  const phone = await broker.device('ann', { subscribe: ['user/ann/inbox'] })
  await broker.direct('ann', 'bob') // an event that delivers no message
  await until(() => phone.events.length === 1, 'the event came')
  const conversation = await broker.direct('carol', 'dave')
  const cursor = async (): Promise<unknown> =>
    (await broker.sql('select acked_seq::int as seq from devices where user_id = $1', 'ann'))[0]?.seq
  await until(async () => {
    await broker.say('carol', conversation, 'more')
    return await cursor() === 1
  }, 'the cursor moved while others sent')
})

test('many that cannot be written are tried again after a pause, not at once', async () => {
  const attempts: number[] = []
  const database = {
    onOtherServer () {},
    commit: async () => {
      attempts.push(performance.now())
      throw unavailable('the database is not available')
    }
  }
  const committer = startCommitter({ database, fenced: false, log: pino({ enabled: false }) } as never)
  for (let i = 0; i < 300; i++) {
    committer.acknowledgements.add(acknowledgement(`user-${i}`, 1, [delivery('sender')]))
  }
  await until(() => attempts.length > 1, 'it is tried again')
  expect(attempts[1]! - attempts[0]!).toBeGreaterThan(400)
  await committer[Symbol.asyncDispose]()
})
