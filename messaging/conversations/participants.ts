/**
 * Who is in a group: looking, adding, what they may do, removing and leaving.
 *
 * An event about a participant who comes or goes says how many are in afterwards. In a large
 * conversation a client knows only its own user as a participant; when the conversation is no
 * longer large, an event carries all participants.
 */
import { AppError } from '../../core/errors.ts'
import { requireUserId } from '../../core/identity.ts'
import { MAX_PARTICIPANTS_SHOWN, type ConversationView, type ParticipantView } from '../../core/views.ts'
import {
  enterParticipants, findMembership, leaveConversation, setParticipantRights, type Membership
} from '../../store/conversations/conversations.ts'
import { pageParticipants } from '../../store/conversations/participants.ts'
import { type Database } from '../../store/database.ts'
import { type NewEvent } from '../../store/log/inbox.ts'
import { keepTimes } from '../../store/log/receipt-times.ts'
import { type Change, type ChangeConversation, type ChangeContext } from './change.ts'
import { requireAdmin, requireGroup, requireGroupAdmin, requirePresent } from '../membership.ts'

export const MAX_PARTICIPANTS = 1_000
/**
 * When many enter a large group at once, its members get one event with the conversation instead of
 * one for each. The transaction holds all of them for as long as it takes to write the events.
 */
const MAX_ADDED_EVENTS = 2_000

export interface Rights { role?: 'admin' | 'member', can_send_messages?: boolean }

export interface Participants {
  /**
   * Up to `limit` participants by user id, after the user `after`.
   * Throws `not_found` for a user who was never in, `forbidden` for a former member.
   */
  listParticipants (
    viewerId: string, conversationId: string, page: { limit: number, after?: string }
  ): Promise<ParticipantView[]>
  addParticipants (actorId: string, conversationId: string, userIds: string[]): Promise<ConversationView>
  /** A group with members keeps an admin: throws `conflict` when the last one would be none. */
  changeParticipant (actorId: string, conversationId: string, userId: string, rights: Rights): Promise<void>
  /** Removes a participant, or oneself. When no admin is left, the longest-standing member becomes one. */
  removeParticipant (actorId: string, conversationId: string, userId: string): Promise<void>
}

export function createParticipants ({ database, change, get }: {
  database: Database
  change: ChangeConversation
  get: (viewerId: string, conversationId: string) => Promise<ConversationView>
}): Participants {
  return {
    async listParticipants (viewerId, conversationId, { limit, after = '' }) {
      requirePresent(await findMembership(database.autocommit, conversationId, viewerId))
      return await pageParticipants(database.autocommit, conversationId, viewerId, { limit, after })
    },

    async addParticipants (actorId, conversationId, userIds) {
      const asked = [...new Set(userIds.map(requireUserId))]
      await change(conversationId, actorId, ({ conversation, actor, members, at }) => {
        requireGroupAdmin(conversation, actor)
        const present = new Set(members.map(member => member.user_id))
        const entering = asked.filter(id => !present.has(id))
        if (present.size + entering.length > MAX_PARTICIPANTS) throw tooManyParticipants()
        if (entering.length === 0) return { events: [] }
        return {
          activity: true,
          entering,
          events: addedEvents(conversation, members, entering, at),
          write: tx => enterParticipants(
            tx, conversationId, entering.map(user_id => ({ user_id, role: 'member' })),
            conversation.last_seq, at
          )
        }
      })
      return await get(actorId, conversationId)
    },

    async changeParticipant (actorId, conversationId, userId, rights) {
      await change(conversationId, actorId, ({ conversation, actor, members }) => {
        requireGroupAdmin(conversation, actor)
        const subject = members.find(member => member.user_id === userId)
        if (subject === undefined) throw unknownParticipant()
        const after = {
          role: rights.role ?? subject.role,
          can_send_messages: rights.can_send_messages ?? subject.can_send_messages
        }
        if (after.role === subject.role && after.can_send_messages === subject.can_send_messages) {
          return { events: [] }
        }
        if (after.role === 'member' && !hasAdmin(members.filter(member => member !== subject))) {
          throw lastAdmin()
        }
        return {
          events: rightsEvents(members, { ...subject, ...after }),
          write: tx => setParticipantRights(tx, conversationId, userId, after)
        }
      })
    },

    async removeParticipant (actorId, conversationId, userId) {
      await change(conversationId, actorId, ({ conversation, actor, members, at }) => {
        requireGroup(conversation)
        if (userId !== actorId) requireAdmin(actor)
        if (!members.some(member => member.user_id === userId)) throw unknownParticipant()
        return leave({ conversation, members, at }, userId)
      })
    }
  }
}

/** Takes a present member out. A group that is left without an admin gets one. */
export function leave (
  { conversation, members, at }: Omit<ChangeContext, 'actor'>, userId: string
): Change {
  const staying = members.filter(member => member.user_id !== userId)
  const heir = conversation.type === 'direct' || hasAdmin(staying) ? undefined : longestIn(staying)
  return {
    activity: true,
    async write (tx) {
      // It becomes small: from here on receipts are told, and when they came.
      if (staying.length === MAX_PARTICIPANTS_SHOWN) await keepTimes(tx, conversation.id)
      await leaveConversation(tx, conversation.id, userId, conversation.last_seq, at)
      if (heir !== undefined) await setParticipantRights(tx, conversation.id, heir.user_id, { role: 'admin' })
    },
    events: [
      ...eventsAbout(members, 'participant_removed', conversation.id, {
        user_id: userId, left_at: at.toISOString(), participant_count: staying.length
      }),
      ...(heir === undefined ? [] : rightsEvents(staying, { ...heir, role: 'admin' })),
      ...(staying.length === MAX_PARTICIPANTS_SHOWN ? updatedEvents(staying, conversation.id) : [])
    ]
  }
}

function addedEvents (
  { id, last_seq }: ChangeContext['conversation'], members: Membership[], entering: string[], at: Date
): NewEvent[] {
  const created =
    entering.map((user_id): NewEvent => ({ user_id, type: 'conversation_created', conversation_id: id }))
  if (members.length * entering.length > MAX_ADDED_EVENTS) {
    return [...created, ...updatedEvents(members, id)]
  }
  return [...created, ...entering.flatMap(user_id => eventsAbout(members, 'participant_added', id, {
    user_id,
    role: 'member',
    can_send_messages: true,
    joined_at: at.toISOString(),
    last_delivered_seq: last_seq,
    last_read_seq: last_seq,
    participant_count: members.length + entering.length
  }))]
}

const updatedEvents = (members: Membership[], conversationId: string): NewEvent[] =>
  members.map(({ user_id }) => ({ user_id, type: 'conversation_updated', conversation_id: conversationId }))

const rightsEvents = (
  members: Membership[], { conversation_id, user_id, role, can_send_messages }: Membership
): NewEvent[] =>
  eventsAbout(members, 'participant_updated', conversation_id, { user_id, role, can_send_messages })

const eventsAbout = (
  members: Membership[], type: NewEvent['type'], conversationId: string, data: Record<string, unknown>
): NewEvent[] =>
  members.map(({ user_id }) => ({ user_id, type, conversation_id: conversationId, data }))

const hasAdmin = (members: Membership[]): boolean => members.some(member => member.role === 'admin')

// `members` come in the order of their ids, which decides between those who joined together.
const longestIn = (members: Membership[]): Membership | undefined =>
  members.toSorted((a, b) => a.joined_at.getTime() - b.joined_at.getTime())[0]

const unknownParticipant = (): AppError =>
  new AppError('not_found', 'participant_not_found', 'this user is not a participant of the conversation')

const lastAdmin = (): AppError =>
  new AppError('conflict', 'last_admin', 'a group keeps an admin: make another member one first')

export const tooManyParticipants = (): AppError =>
  new AppError(
    'conflict', 'too_many_participants', `a conversation has at most ${MAX_PARTICIPANTS} participants`
  )
