/**
 * With a million messages every hot statement finds what it needs through its
 * index and looks at a bounded number of pages, with the plan for its values and
 * with the generic plan of a prepared statement. No times: they are the machine's.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  BLOCKED, COMMON_WORD, directId, fillHistory, GROUP, HIDDEN, HUB, HUB_DIRECTS, HUGE, LATE, messageId, OWN,
  PEER, RARE_WORD
} from '../../bench/fill.ts'
import { conversationViews, listPlaces } from '../../store/conversations/views.ts'
import { type Executor } from '../../store/database.ts'
import { forgetReceipts, messagesMentioning, takeEarlierMentions } from '../../store/erasure/erased-traces.ts'
import { NIL } from '../../store/erasure/erasures.ts'
import { openDevices, saveSubscriptions, startingPoints } from '../../store/people/device-sessions.ts'
import { appendNumbered, eventsAfter, type AppendedEvent } from '../../store/log/inbox.ts'
import { findMessage, messagesAfter, messagesBefore } from '../../store/messages/messages.ts'
import { claimPushes, nextDue, schedulePushes } from '../../store/push/due.ts'
import { recoverUsers } from '../../store/push/recovery.ts'
import { pendingPushes, unreadBadges } from '../../store/push/pending.ts'
import { recipientStatuses } from '../../store/log/receipt-times.ts'
import { findReadables, risingReads, sendersBelow } from '../../store/log/read-marks.ts'
import { deliveredMarks, nextDeliveries, raiseMarks } from '../../store/log/receipts.ts'
import { lockConversations, lockMembers, lockUsers } from '../../store/locks.ts'
import {
  findRepeats, readMembers, readReplyTargets, readStored, writeMessages
} from '../../store/log/sends.ts'
import { addWords, unindexedCounts } from '../../store/messages/search-index.ts'
import {
  findHits, foundMessages, searchedConversations, type SearchedConversation
} from '../../store/messages/search.ts'
import { changedLogs, meetUsers, tokensValidAfter } from '../../store/people/users.ts'
import { createDatabase, runSql, type TestDatabase } from '../support/database.ts'
import { plansOf, type Plan } from '../support/plans.ts'

const MESSAGES = 1_000_000
const HUGE_END = MESSAGES / 20 * 6
const END = Number.MAX_SAFE_INTEGER
const SMALL = directId(HUB_DIRECTS + 5)
const SMALL_MEMBER = 'user-2015'

/** One who has come and gone with every second message of a conversation. */
const STAYS = `
  insert into participant_stays
  select '${HUGE}', '${PEER}', 'member', true, now(), 2 * n, now(), 2 * n + 1, 2 * n + 1, 2 * n
    from generate_series(1, 20000) as n;
  analyze participant_stays`

let database: TestDatabase
let explain: (work: (db: Executor) => Promise<unknown>) => Promise<Plan[]>

beforeAll(async () => {
  database = await createDatabase()
  await fillHistory(database.url, MESSAGES)
  await runSql(database.url, STAYS)
  explain = work => plansOf(database.url, work)
})
afterAll(async () => { await database[Symbol.asyncDispose]() })

/** Every plan uses these indexes, scans no table, and stays within the pages given. */
function expectBounded (plans: Plan[], pages: number, ...indexes: string[]): void {
  expect(plans.map(plan => plan.kind)).toEqual(expect.arrayContaining(['custom', 'generic']))
  for (const plan of plans) {
    const where = `${plan.statement.trim().split('\n')[0]} (${plan.kind})`
    expect(plan.scanned, where).toEqual([])
    expect(plan.indexes, where).toEqual(expect.arrayContaining(indexes))
    expect(plan.buffers, where).toBeLessThan(pages)
  }
}

describe('a search', () => {
  const conversation = (conversation_id: string): SearchedConversation =>
    ({ conversation_id, joined_seq: 0, last_message_id: messageId(0) })
  const hits = (
    query: string, ...ids: string[]
  ) => plansOf(database.url, db => findHits(db, ids.map(conversation), {
    readerId: HUB, query, beforeId: 'ffffffff-ffff-ffff-ffff-ffffffffffff', limit: 51
  }), { search: true })

  test('for a word that is in every message of a huge conversation looks through the newest only', async () => {
    expectBounded(await hits(COMMON_WORD, HUGE), 300, 'messages_conversation_seq_unique')
  })

  test('for a rare word asks the index, in a huge conversation and in fifty small ones', async () => {
    expectBounded(await hits(RARE_WORD, HUGE), 500, 'message_words_index')
    expectBounded(
      await hits(RARE_WORD, ...Array.from({ length: 50 }, (_, k) => directId(k))), 2_500,
      'message_words_index'
    )
  })

  test('indexes a piece, and finds conversations that are behind', async () => {
    expectBounded(await explain(db => addWords(db, HUGE, HUGE_END - 500, 500)), 6_000,
      'messages_conversation_seq_unique', 'search_progress_pkey')
    expectBounded(await explain(db => unindexedCounts(db, HUGE, 100)), 500, 'conversations_pkey')
  })

  test('finds its conversations and its messages', async () => {
    expectBounded(
      await explain(db => searchedConversations(db, HUB, undefined)), 14_000,
      'conversation_participants_user_index', 'conversations_pkey'
    )
    expectBounded(
      await explain(db => foundMessages(db, Array.from({ length: 50 }, (_, n) => messageId(n * 20)), HUB)),
      1_000, 'messages_pkey'
    )
  })
})

describe('a page of history', () => {
  // A message costs some ten pages: itself, its attachments, reactions and, if one's own, its recipients.
  const pages = 800
  const query = (readerId: string, conversationId: string, joinedSeq = 0) =>
    ({ readerId, conversationId, joinedSeq, limit: 51 })

  test.each([
    ['start', 52], ['middle', HUGE_END / 2], ['end', HUGE_END - 51]
  ])('at the %s of a huge conversation', async (_, seq) => {
    expectBounded(
      await explain(db => messagesBefore(db, query(HUB, HUGE), seq)), pages,
      'messages_conversation_seq_unique'
    )
    expectBounded(
      await explain(db => messagesAfter(db, query(HUB, HUGE), seq)), pages, 'messages_conversation_seq_unique'
    )
  })

  test('for a member who joined late, at the beginning of what they see', async () => {
    const joined = HUGE_END * 3 / 4
    expectBounded(
      await explain(db => messagesBefore(db, query(LATE, HUGE, joined), joined + 20)), pages,
      'messages_conversation_seq_unique'
    )
    expectBounded(
      await explain(db => messagesAfter(db, query(LATE, HUGE, joined), joined)), pages,
      'messages_conversation_seq_unique'
    )
  })

  test('of a large group', async () => {
    expectBounded(
      await explain(db => messagesBefore(db, query('user-7', GROUP), END)), 2 * pages,
      'messages_conversation_seq_unique'
    )
  })

  test('of a conversation full of messages hidden from the reader', async () => {
    expectBounded(
      await explain(db => messagesBefore(db, query(HUB, HIDDEN), END)), pages, 'messages_sender_index'
    )
    expectBounded(
      await explain(db => messagesAfter(db, query(HUB, HIDDEN), 0)), pages, 'messages_sender_index'
    )
    expectBounded(
      await explain(db => messagesBefore(db, query(BLOCKED, HIDDEN), END)), pages, 'messages_sender_index'
    )
  })

  test('its cursor message', async () => {
    expectBounded(await explain(db => findMessage(db, messageId(5), HUB)), 50, 'messages_pkey')
  })
})

describe('the list of conversations', () => {
  test('costs what its page and the number of own conversations cost, not what was written in them', async () => {
    // The hub has 2,004 conversations, three pages each to be put in order.
    for (const [reader, pages] of [[HUB, 13_000], [SMALL_MEMBER, 500]] as const) {
      expectBounded(
        await explain(db => listPlaces(db, reader, 51, undefined)), pages,
        'conversation_participants_user_index', 'conversations_pkey'
      )
    }
    const shown = Array.from({ length: 50 }, (_, k) => ({ conversationId: directId(k), userId: HUB }))
    expectBounded(
      await explain(db => conversationViews(db, shown)), 2_500,
      'conversation_participants_pkey', 'conversations_pkey', 'messages_conversation_seq_unique'
    )
  })

  test.each([
    ['huge and unread', HUGE], ['all own messages', OWN], ['all hidden', HIDDEN]
  ])('shows a conversation that is %s', async (_, conversationId) => {
    expectBounded(
      await explain(db => conversationViews(db, [{ conversationId, userId: HUB }])), 1_000,
      'messages_conversation_seq_unique'
    )
  })

  test('shows a group of 500', async () => {
    expectBounded(
      await explain(db => conversationViews(db, [{ conversationId: GROUP, userId: 'user-7' }])), 2_500,
      'users_pkey'
    )
  })
})

test.each([
  ['beginning', 0], ['middle', HUGE_END / 2], ['end', HUGE_END - 100]
])('a page of the inbox log from the %s', async (_, seq) => {
  expectBounded(
    await explain(db => eventsAfter(db, HUB, seq, 100)), 1_500, 'inbox_events_pkey', 'messages_pkey'
  )
})

describe('a send', () => {
  test('locks its conversations and users', async () => {
    expectBounded(await explain(db => lockConversations(db, [HUGE, SMALL])), 20, 'conversations_pkey')
    expectBounded(await explain(db => lockUsers(db, [HUB, PEER])), 20, 'users_pkey')
  })

  test('looks for repeats', async () => {
    const fresh = Array.from({ length: 200 }, (_, i) => `new-${i}`)
    expectBounded(
      await explain(db => findRepeats(db, fresh.map(() => PEER), fresh)), 1_000,
      'messages_client_message_id_unique'
    )
    expectBounded(
      await explain(db => findRepeats(db, [PEER, HUB], ['c-2', 'c-40'])), 100,
      'messages_client_message_id_unique'
    )
    expectBounded(await explain(db => readStored(db, [messageId(1), messageId(2)])), 100, 'messages_pkey')
  })

  test('reads members and the message it replies to', async () => {
    expectBounded(
      await explain(db => readMembers(db, [HUGE, SMALL], [HUB, SMALL_MEMBER])), 60,
      'conversation_participants_pkey'
    )
    expectBounded(
      await explain(db => readMembers(db, [GROUP], ['user-7'])), 300, 'conversation_participants_pkey'
    )
    expectBounded(await explain(db => readReplyTargets(db, [messageId(5)])), 10, 'messages_pkey')
  })

  test('writes', async () => {
    const message = {
      id: messageId(MESSAGES),
      conversation_id: HUGE,
      seq: HUGE_END + 1,
      sender_user_id: HUB,
      content: 'hello',
      message_type: 'text' as const,
      mentions: [],
      reply_to_id: null,
      client_message_id: 'new',
      client_fingerprint: 'new',
      hidden: false
    }
    const last_activity_at = new Date()
    const locked = new Map([[HUGE, {
      id: HUGE, type: 'group' as const, title: null, last_seq: END, last_activity_at, members_version: 0
    }]])
    const events: AppendedEvent[] = [HUB, PEER, LATE].map(user_id =>
      ({ user_id, seq: END, type: 'new_message', conversation_id: HUGE, message_id: message.id }))
    expectBounded(
      await explain(db => writeMessages(db, [message], locked, new Date())), 200, 'conversations_pkey')
    expectBounded(
      await explain(db =>
        appendNumbered(db, events, events.map(({ user_id: id }) =>
          ({ id, inbox_seq: END, acked_seq: 0 })), new Date())), 100,
      'users_pkey')
    expectBounded(
      await explain(db =>
        schedulePushes(db, [{ userId: HUB, seq: END, dueAt: new Date() }])), 60, 'users_pkey')
  })
})

describe('receipts', () => {
  test('the status of a message, old or new', async () => {
    for (const seq of [39_000, HUGE_END / 2, HUGE_END]) {
      expectBounded(
        await explain(db => recipientStatuses(db, HUGE, seq, HUB, new Date(0))), 60,
        'conversation_participants_pkey', 'delivery_status_pkey'
      )
    }
  })

  test.each([['one message', 1], ['the whole of a huge conversation', HUGE_END]])('reading %s', async (
    _, count
  ) => {
    const mark = count === 1
      ? { conversation_id: SMALL, user_id: SMALL_MEMBER, up_to_seq: 7, client_at: null }
      : { conversation_id: HUGE, user_id: HUB, up_to_seq: HUGE_END, client_at: null }
    expectBounded(await explain(db => findReadables(db, [messageId(5)], [HUB])), 20, 'messages_pkey')
    expectBounded(await explain(db => sendersBelow(db, [mark])), 100, 'conversation_participants_pkey')
    expectBounded(await explain(db => risingReads(db, [mark])), 100, 'conversation_participants_pkey')
  })

  test('acknowledging a window of events', async () => {
    const member = { conversation_id: HUGE, user_id: HUB }
    expectBounded(
      await explain(db => lockMembers(db, [HUGE], [HUB])), 100, 'users_pkey', 'conversation_participants_pkey'
    )
    expectBounded(await explain(db => deliveredMarks(db, [member])), 20, 'conversation_participants_pkey')
    const since = { joined_seq: 0, last_delivered_seq: 0 }
    const raised =
      { ...member, ended_seq: null, delivered: END, read: 0, read_client_at: null, told: true, since }
    expectBounded(
      await explain(db => raiseMarks(db, [raised], new Date())), 60, 'conversation_participants_pkey'
    )
    expectBounded(
      await explain(db => nextDeliveries(db, HUB, HUGE_END, 64)), 6_000, 'inbox_events_pkey', 'messages_pkey')
  })
})

test('an erasure finds mentions, and the times of receipts', async () => {
  const limits = { conversations: 100, limit: 5_000 }
  const plans = [
    ...await explain(db => messagesMentioning(db, HUB, 100)),
    ...await explain(db => takeEarlierMentions(db, HUB, 100))
  ].filter(({ indexes }) => indexes.length > 0)
  expect(plans.map(({ indexes }) => indexes.filter(index => index.includes('mentions')))).toEqual([
    ['messages_mentions_index'], ['messages_mentions_index'],
    ['message_edits_mentions_index'], ['message_edits_mentions_index']
  ])
  for (const plan of plans) {
    expect(plan.scanned).toEqual([])
    expect(plan.buffers).toBeLessThan(100)
  }
  expectBounded(await explain(db => forgetReceipts(db, HUB, NIL, limits)), 1_000,
    'conversation_participants_former_index')
})

describe('devices and pushes', () => {
  test('a device finds where it starts', async () => {
    const device = { userId: HUB, deviceId: 'phone' }
    expectBounded(await explain(db => startingPoints(db, [device])), 20, 'users_pkey', 'devices_pkey')
    expectBounded(
      await explain(db => openDevices(db, [{ ...device, clean: false }])), 60, 'users_pkey', 'devices_pkey'
    )
    expectBounded(
      await explain(db =>
        saveSubscriptions(db, [{ ...device, lease: 1, subscriptions: [] }])), 60, 'users_pkey'
    )
    expectBounded(await explain(db => tokensValidAfter(db, [HUB])), 20, 'users_pkey')
    expectBounded(
      await explain(db => meetUsers(db, [{ id: HUB, name: null, name_changed_at: null }])), 30, 'users_pkey'
    )
    for (const others of [0, 10]) {
      const ids = [HUB, PEER, LATE, ...Array.from({ length: others }, (_, i) => `nobody-${i}`)]
      const known = ids.map(id => ({ id, lowest: 0, highest: 0 }))
      expectBounded(await explain(db => changedLogs(db, known)), 5 * known.length, 'users_pkey')
    }
  })

  test('a bridge claims what is due and reads what to tell', async () => {
    const now = new Date()
    const leasedUntil = new Date(now.getTime() + 60_000)
    expectBounded(
      await explain(db => schedulePushes(db, [{ userId: HUB, seq: END, dueAt: now }])), 50, 'users_pkey'
    )
    expectBounded(await explain(db => nextDue(db, now)), 20, 'push_due_due_at_index')
    expectBounded(await explain(async db => {
      await claimPushes(db, now, leasedUntil, 20)
    }), 600, 'push_due_due_at_index', 'push_due_pkey')
    expectBounded(await explain(async db => {
      await claimPushes(db, now, leasedUntil, 20)
      await pendingPushes(db, { userIds: CLAIMED, leasedUntil, now, expiresBefore: new Date(0) })
    }), 4_000, 'push_due_pkey')
    // One of them has been away for a long time.
    expectBounded(await explain(async db => {
      await db.rows({ name: 'away', text: 'update users set acked_seq = 0 where id = $1' }, [HUB])
      await schedulePushes(db, [{ userId: HUB, seq: END, dueAt: new Date(0) }])
      await claimPushes(db, now, leasedUntil, 20)
      await pendingPushes(db, { userIds: [HUB], leasedUntil, now, expiresBefore: new Date(0) })
    }), 12_000)
    const fromStart = { afterUserId: '', limit: 1_000, dueAt: now, since: new Date(0) }
    expectBounded(
      await explain(db => recoverUsers(db, fromStart)), 40_000, 'users_pkey', 'inbox_events_pkey'
    )
    expectBounded(
      await explain(db => unreadBadges(db, CLAIMED, now)), 20_000, 'conversation_participants_user_index',
      'messages_conversation_seq_unique'
    )
  })
})

/** The first to be due. */
const CLAIMED = Array.from({ length: 20 }, (_, i) => `user-${i + 1}`)
