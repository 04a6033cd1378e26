/**
 * What this process knows of conversations and users from the batches it has committed, so that the next ones
 * need not ask again.
 *
 * Nothing here has to be true: the database refuses a write that was decided by something else than what its
 * rows say by then (`refuseUnless` in store/locks.ts), and the batch is decided again by what is read under
 * locks. A refusal writes nothing that could be refused, so none is based on what is kept here.
 */
import { LRUCache } from 'lru-cache'
import { type InboxCounters } from '../../store/locks.ts'
import { type RaisedMarks } from '../../store/log/receipts.ts'
import { reachedBy } from '../receipts/marks.ts'
import {
  type Batch, type Context, conversationsOf, type Known, type KnownConversation, MANY_MEMBERS, othersOf
} from './context.ts'

/** In all conversations that are known, some 200 bytes each. */
const MAX_MEMBERS = 50_000
const MAX_USERS = 50_000
/** Conversations with many members, of whom only the ids are known. */
const MAX_CROWDS = 200
/** A batch that waits for a row holds up others that do not need it for no longer than this. */
const MAX_WAIT_MS = 50
/** What so many have to be written for takes long. */
const MANY_USERS = 64
/** So many senders are remembered for so long after they have sent something twice. */
const MAX_REPEATING = 1_000
const REPEATING_MS = 60_000

export interface Loan extends Known {
  /** A batch that has a user who was asked for: what is known of them is about to change. */
  contestant (): Batch | undefined
}

export interface ContextCache {
  /**
   * What is known. The batch has the users that it asks for, known or not, until it gives them back, is
   * remembered or forgotten: it changes what is known as it changes the rows.
   */
  lendTo (batch: Batch): Loan
  giveBack (batch: Batch): void
  /**
   * Resolves with true when the batch has given back what it has; with false when that takes long. Then it
   * is better to queue up in the database, for the rows that are needed and no others.
   */
  ended (batch: Batch): Promise<boolean>
  /** The batch has these users from here on: it has locked them. */
  hold (batch: Batch, userIds: Iterable<string>): void
  /** The batch has committed, and left the rows like this. */
  remember (batch: Batch, context: Context, raised: Iterable<RaisedMarks>): void
  /** The batch has failed, or is about to change what is not known from here. */
  forget (batch: Batch): void
  /** The batch is about to lock the members of its large conversations, where it is known who they are. */
  holdCrowds (batch: Batch): void
  /** Somebody else in this process has appended these events. */
  appended (events: ReadonlyArray<{ userId: string, seq: number }>): void
  /** The sender has sent something twice, and may do so again. */
  noteRepeating (senderId: string): void
  isRepeating (senderId: string): boolean
  clear (): void
}

interface KnownUser {
  /** Undefined: it is to be read. */
  counters: InboxCounters | undefined
  /** The batch that has the user. */
  holder: Batch | undefined
}

/** What a batch has, and who waits for it. */
interface Held { batch: Batch, users: KnownUser[], waiting: Array<() => void> }

export function createContextCache (): ContextCache {
  const conversations = new LRUCache<string, KnownConversation>({
    maxSize: MAX_MEMBERS, sizeCalculation: ({ members }) => members.size + 1
  })
  const users = new LRUCache<string, KnownUser>({ max: MAX_USERS })
  const crowds = new LRUCache<string, string[]>({ max: MAX_CROWDS }) // members by conversation
  const repeating = new LRUCache<string, true>({ max: MAX_REPEATING, ttl: REPEATING_MS })
  let held: Held[] = [] // of the few batches in flight

  function userOf (id: string): KnownUser {
    let user = users.get(id)
    if (user === undefined) users.set(id, user = { counters: undefined, holder: undefined })
    return user
  }

  const heldBy = (batch: Batch): Held | undefined => held.find(one => one.batch === batch)

  function hold (batch: Batch, user: KnownUser): void {
    if (user.holder === batch) return
    user.holder = batch
    const own = heldBy(batch)
    if (own === undefined) held = [...held, { batch, users: [user], waiting: [] }]
    else own.users.push(user)
  }

  function giveBack (batch: Batch): void {
    const own = heldBy(batch)
    held = held.filter(one => one !== own)
    for (const user of own?.users ?? []) if (user.holder === batch) user.holder = undefined
    for (const resolve of own?.waiting ?? []) resolve()
  }

  const forgetUser = (id: string): void => {
    const user = users.peek(id)
    if (user !== undefined) user.counters = undefined
  }

  return {
    lendTo (batch) {
      let contestant: Batch | undefined
      return {
        conversation: id => conversations.get(id),
        user (id) {
          const user = userOf(id)
          if (user.holder !== undefined && user.holder !== batch) contestant = user.holder
          else hold(batch, user)
          return user.counters
        },
        contestant: () => contestant
      }
    },

    giveBack,

    async ended (batch) {
      const own = heldBy(batch)
      if (own === undefined) return true
      if (own.users.length > MANY_USERS) return false
      return await new Promise<boolean>(resolve => {
        const timer = setTimeout(resolve, MAX_WAIT_MS, false)
        own.waiting.push(() => { clearTimeout(timer); resolve(true) })
      })
    },

    hold (batch, userIds) { for (const id of userIds) hold(batch, userOf(id)) },

    remember (batch, { sends, read }, raised) {
      giveBack(batch)
      for (const [id, conversation] of read.conversations) {
        const members = sends.members.get(id)!
        if (members.size <= MANY_MEMBERS) conversations.set(id, { conversation, members })
        else crowds.set(id, [...members.keys()])
      }
      for (const [id, counters] of read.users) userOf(id).counters = counters
      for (const { conversation_id, user_id, ended_seq, delivered } of raised) {
        const member = conversations.peek(conversation_id)?.members.get(user_id)
        if (member === undefined || ended_seq !== null) continue
        member.last_delivered_seq = Math.max(member.last_delivered_seq, delivered)
      }
    },

    forget (batch) {
      giveBack(batch)
      for (const id of conversationsOf(batch.sends)) {
        conversations.peek(id)?.members.forEach(member => { forgetUser(member.user_id) })
        conversations.delete(id)
      }
      for (const { conversation_id } of reachedBy(batch.acknowledgements).values()) {
        conversations.delete(conversation_id)
      }
      for (const id of othersOf(batch)) forgetUser(id)
    },

    holdCrowds (batch) {
      for (const id of conversationsOf(batch.sends)) {
        for (const userId of crowds.get(id) ?? []) hold(batch, userOf(userId))
      }
    },

    appended (events) {
      for (const { userId, seq } of events) {
        const user = users.peek(userId)
        if (user?.counters === undefined || user.holder !== undefined) continue
        user.counters.inbox_seq = Math.max(user.counters.inbox_seq, seq)
      }
    },

    noteRepeating (senderId) { repeating.set(senderId, true) },
    isRepeating: senderId => repeating.has(senderId),

    clear () {
      conversations.clear()
      crowds.clear()
      users.clear()
    }
  }
}
