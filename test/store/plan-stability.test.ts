/**
 * The plans of hot statements do not depend on when they are made: on a database without messages, on one
 * that was never analyzed, on one that was. A plan that was made for empty tables stays with its connection
 * for a while.
 */
import pg from 'pg'
import { expect, test } from 'vitest'
import { directId, fillHistory, GROUP, HUB, HUGE, messageId, PEER } from '../../bench/fill.ts'
import { conversationViews, listPlaces } from '../../store/conversations/views.ts'
import { type Executor } from '../../store/database.ts'
import {
  findConversations, findMembers, lockConversations, lockMembers, lockUsers
} from '../../store/locks.ts'
import { appendNumbered, eventsAfter } from '../../store/log/inbox.ts'
import { recipientStatuses } from '../../store/log/receipt-times.ts'
import { findReadables, risingReads, sendersBelow } from '../../store/log/read-marks.ts'
import {
  conversationsWithReceipts, deliveredMarks, nextDeliveries, raiseMarks
} from '../../store/log/receipts.ts'
import {
  findRepeats, readMembers, readReplyTargets, readStored, writeMessages
} from '../../store/log/sends.ts'
import { findMessage, messagesAfter, messagesBefore } from '../../store/messages/messages.ts'
import {
  advanceCursors, findFenced, openDevices, startingPoints
} from '../../store/people/device-sessions.ts'
import { changedLogs } from '../../store/people/users.ts'
import { cancelPushes, claimPushes, schedulePushes } from '../../store/push/due.ts'
import { notePushReads } from '../../store/push/reads.ts'
import { createDatabase, runSql } from '../support/database.ts'
import { plansOf, type Plan } from '../support/plans.ts'

const END = Number.MAX_SAFE_INTEGER
const member = { conversation_id: HUGE, user_id: HUB }
const mark = { ...member, up_to_seq: 3, client_at: null }
const page = { conversationId: HUGE, readerId: HUB, joinedSeq: 0, limit: 51 }
const newMessage = (i: number) => ({
  id: messageId(99_000_000 + i),
  conversation_id: HUGE,
  seq: 99_000_000 + i,
  sender_user_id: HUB,
  content: 'hello',
  message_type: 'text' as const,
  mentions: [],
  reply_to_id: null,
  client_message_id: `new-${i}`,
  client_fingerprint: 'f',
  hidden: false
})
const newEvent = (i: number) => ({
  user_id: HUB,
  seq: 99_000_000 + i,
  type: 'new_message' as const,
  conversation_id: HUGE,
  message_id: messageId(99_000_000 + i)
})
/** A lone row, a few of them, and more than are sent as VALUES. */
const SIZES = [1, 3, 20]
const rows = <Row>(count: number, row: (i: number) => Row): Row[] =>
  Array.from({ length: count }, (_, i) => row(i))

/** What a message, its acknowledgement, its receipt, a page, and a device that connects ask for. */
const HOT: Record<string, (db: Executor, at: Date) => Promise<unknown>> = {
  'the locks of a batch': async db => {
    await lockConversations(db, [HUGE, directId(1)])
    await lockMembers(db, [HUGE, GROUP], [PEER])
    await lockUsers(db, [HUB, PEER])
    await findConversations(db, [HUGE, directId(1)])
    await findMembers(db, [HUGE, GROUP], [PEER])
  },
  'what sends read': async db => {
    await readMembers(db, [HUGE, directId(1)], [HUB])
    await findRepeats(db, [HUB], ['c'])
    await readReplyTargets(db, [messageId(1)])
    await readStored(db, [messageId(1)])
  },
  'what sends write': async (db, at) => {
    for (const [nth, size] of SIZES.entries()) {
      const first = nth * 100
      await writeMessages(db, rows(size, i => newMessage(first + i)), new Map([[HUGE, {
        id: HUGE, type: 'group', title: null, last_seq: 99_000_000, last_activity_at: at, members_version: 0
      }]]), at)
      await appendNumbered(
        db, rows(size, i => newEvent(first + i)), [{ id: HUB, inbox_seq: 99_000_000, acked_seq: 1 }], at
      )
    }
    for (const size of SIZES) {
      const dueTo = (i: number): string => i === 0 ? HUB : `user-${1_000 + i}`
      await schedulePushes(db, rows(size, i => ({ userId: dueTo(i), seq: 99_000_000, dueAt: at })))
    }
  },
  'what acknowledgements read and write': async (db, at) => {
    await findFenced(db, [{ userId: HUB, deviceId: 'phone', lease: 1 }])
    for (const size of SIZES) {
      await deliveredMarks(db, rows(size, () => member))
      const read_client_at = null
      const since = { joined_seq: 0, last_delivered_seq: 0 }
      const raised = { ...member, ended_seq: null, read: 0, read_client_at, told: true, since }
      await raiseMarks(db, rows(size, i => ({ ...raised, delivered: END - size - i })), at)
      await advanceCursors(
        db, rows(size, i => ({ user_id: HUB, device_id: `phone-${i}`, seq: 1, lease: null })), at
      )
    }
    await cancelPushes(db, [HUB])
    await nextDeliveries(db, HUB, 64, 64)
    await conversationsWithReceipts(db, [HUGE, GROUP])
  },
  'what read receipts read and write': async (db, at) => {
    await findReadables(db, [messageId(5)], [HUB])
    await sendersBelow(db, [mark])
    await risingReads(db, [mark])
    await notePushReads(db, [HUB], at)
  },
  'a page of a log, of a conversation, of conversations': async db => {
    await eventsAfter(db, HUB, 0, 64)
    await messagesBefore(db, page, END)
    await messagesAfter(db, page, 1)
    await findMessage(db, messageId(1), HUB)
    await recipientStatuses(db, HUGE, 1, HUB, new Date(0))
    await listPlaces(db, HUB, 20, undefined)
    await conversationViews(db, [{ conversationId: HUGE, userId: HUB }])
  },
  'a device that connects, the sweep, a bridge': async (db, at) => {
    await startingPoints(db, [{ userId: HUB, deviceId: 'phone' }])
    await openDevices(db, [{ userId: HUB, deviceId: 'phone', clean: false }])
    await changedLogs(db, [{ id: HUB, lowest: 0, highest: 0 }, { id: PEER, lowest: 0, highest: 0 }])
    await claimPushes(db, at, at, 200)
  }
}

/**
 * These never change their indexes. The others may choose between two indexes that both begin with the
 * conversation; what they read stays bounded.
 *
 * Before version 18, once ANALYZE has seen that a table is empty, all its indexes cost the same and any may
 * be taken. That plan lasts until the committer's next DISCARD PLANS; PostgreSQL plans with the size that the
 * table has then, analyzed or not.
 */
const BATCH = new Set([
  'the locks of a batch', 'what sends read', 'what sends write', 'what acknowledgements read and write'
])

test('hot statements scan no table and read few pages on an empty, a filled and an analyzed database', async () => {
  const seen = new Map<string, string>()
  for (const messages of [0, 100, 10_000]) {
    await using database = await createDatabase()
    if (messages > 0) await fillHistory(database.url, messages, false)
    else await runSql(database.url, `insert into users (id) values ('${HUB}')`) // devices refer to it
    await check(`${messages} messages`)
    await runSql(database.url, 'analyze')
    const anyIndex = messages === 0 && await versionOf(database.url) < 180_000
    await check(`${messages} messages, analyzed`, anyIndex)

    async function check (state: string, anyIndex = false): Promise<void> {
      for (const [name, work] of Object.entries(HOT)) {
        for (const plan of await plansOf(database.url, db => work(db, new Date()))) {
          const what = `${name}: ${plan.statement.trim().split('\n')[0]!} (${plan.kind}, ${state})`
          expect(plan.scanned, what).toEqual([])
          expect(plan.buffers, what).toBeLessThan(8_000)
          const key = `${plan.statement} ${plan.kind}`
          seen.set(key, seen.get(key) ?? indexesOf(plan))
          if (BATCH.has(name) && !anyIndex) expect(indexesOf(plan), what).toBe(seen.get(key))
        }
      }
    }
  }
})

const indexesOf = (plan: Plan): string => plan.indexes.join(' ')

async function versionOf (url: string): Promise<number> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    return Number((await client.query('show server_version_num')).rows[0].server_version_num)
  } finally {
    await client.end()
  }
}
