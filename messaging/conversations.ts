/**
 * Conversations: creating, joining and leaving. Each is one transaction that
 * takes the conversation's lock, then the users', and appends what their
 * devices must learn.
 */
import { uuidv7 } from 'uuidv7'
import { AppError, formerMember, invalid, unknownConversation } from '../core/errors.ts'
import { requireUserId } from '../core/identity.ts'
import { checkText } from '../core/message-rules.ts'
import { type ConversationView } from '../core/views.ts'
import {
  conversationViews, enterParticipants, findDirect, findMembership, insertConversation, leaveConversation,
  presentMembers, setParticipantRights, touchConversation, type Membership
} from '../store/conversations.ts'
import { type Database, type Executor } from '../store/database.ts'
import { appendEvents, type NewEvent } from '../store/inbox.ts'
import { lockConversations, type LockedConversation } from '../store/sends.ts'
import { ensureUsers } from '../store/users.ts'
import { hintsFor } from './receipts.ts'
import { type WakeEvent } from './wakes.ts'

export const MAX_PARTICIPANTS = 1_000
const MAX_TITLE_LENGTH = 200

export interface ConversationRequest { type: 'direct' | 'group', participant_ids: string[], title?: string | null }
export interface Rights { role?: 'admin' | 'member', can_send_messages?: boolean }

export interface Conversations {
  create (creatorId: string, request: ConversationRequest): Promise<{ conversation: ConversationView, created: boolean }>
  /** Throws `not_found` for somebody who was never in, `forbidden` for a former member. */
  get (viewerId: string, conversationId: string): Promise<ConversationView>
  addParticipants (actorId: string, conversationId: string, userIds: string[]): Promise<ConversationView>
  changeParticipant (actorId: string, conversationId: string, userId: string, rights: Rights): Promise<void>
  /** Removes somebody, or oneself: leaving. */
  removeParticipant (actorId: string, conversationId: string, userId: string): Promise<void>
}

export function manageConversations ({ database, wake }: { database: Database, wake: (events: WakeEvent[]) => void }): Conversations {
  /** Runs `work` under the conversation's lock and wakes whom its events are for. */
  async function change (conversationId: string, actorId: string, work: (tx: Executor, context: {
    conversation: LockedConversation, actor: Membership, members: Membership[], at: Date
  }) => Promise<NewEvent[]>): Promise<void> {
    const appended = await database.transact(async tx => {
      const conversation = (await lockConversations(tx, [conversationId])).get(conversationId)
      if (conversation === undefined) throw unknownConversation()
      const actor = requirePresent(await findMembership(tx, conversationId, actorId))
      const at = new Date()
      const events = await work(tx, { conversation, actor, members: await presentMembers(tx, conversationId), at })
      await touchConversation(tx, conversationId, at)
      return await appendEvents(tx, events, at)
    })
    wake(hintsFor(appended))
  }

  async function get (viewerId: string, conversationId: string): Promise<ConversationView> {
    requirePresent(await findMembership(database.reads, conversationId, viewerId))
    const [view] = await conversationViews(database.reads, [{ conversationId, userId: viewerId }])
    if (view === undefined) throw unknownConversation()
    return view
  }

  return {
    get,

    async create (creatorId, { type, participant_ids, title }) {
      const others = [...new Set(participant_ids.map(requireUserId))].filter(id => id !== creatorId)
      checkNewConversation(type, others, title)
      const directKey = type === 'direct' ? [creatorId, others[0]!].sort().join('/') : null
      const { id, created, appended } = await database.transact(async tx => {
        const id = uuidv7()
        const at = new Date()
        const created = await insertConversation(tx, { id, type, direct_key: directKey, title: title ?? null, at })
        if (!created) return { id: (await findDirect(tx, directKey!))!, created, appended: [] }
        const everyone = [creatorId, ...others]
        await ensureUsers(tx, everyone)
        await enterParticipants(tx, id, everyone.map(user_id => ({
          user_id, role: type === 'group' && user_id === creatorId ? 'admin' : 'member'
        })), 0, at)
        const events = everyone.map(user_id => ({ user_id, type: 'conversation_created' as const, conversation_id: id }))
        return { id, created, appended: await appendEvents(tx, events, at) }
      })
      wake(hintsFor(appended))
      return { conversation: await get(creatorId, id), created }
    },

    async addParticipants (actorId, conversationId, userIds) {
      const asked = [...new Set(userIds.map(requireUserId))]
      await change(conversationId, actorId, async (tx, { conversation, actor, members, at }) => {
        requireGroupAdmin(conversation, actor)
        const present = new Set(members.map(member => member.user_id))
        const entering = asked.filter(id => !present.has(id))
        if (present.size + entering.length > MAX_PARTICIPANTS) throw tooManyParticipants()
        if (entering.length === 0) return []
        await ensureUsers(tx, entering)
        await enterParticipants(tx, conversationId, entering.map(user_id => ({ user_id, role: 'member' })), conversation.last_seq, at)
        return [
          ...entering.map(user_id => ({ user_id, type: 'conversation_created' as const, conversation_id: conversationId })),
          ...members.flatMap(member => entering.map(user_id => ({
            user_id: member.user_id,
            type: 'participant_added' as const,
            conversation_id: conversationId,
            data: { user_id, role: 'member', can_send_messages: true, joined_at: at.toISOString(), joined_seq: conversation.last_seq }
          })))
        ]
      })
      return await get(actorId, conversationId)
    },

    async changeParticipant (actorId, conversationId, userId, rights) {
      await change(conversationId, actorId, async (tx, { conversation, actor, members }) => {
        requireGroupAdmin(conversation, actor)
        const subject = members.find(member => member.user_id === userId)
        if (subject === undefined) throw unknownParticipant()
        const after = { role: rights.role ?? subject.role, can_send_messages: rights.can_send_messages ?? subject.can_send_messages }
        await setParticipantRights(tx, conversationId, userId, after)
        return members.map(member => ({
          user_id: member.user_id,
          type: 'participant_updated' as const,
          conversation_id: conversationId,
          data: { user_id: userId, ...after }
        }))
      })
    },

    async removeParticipant (actorId, conversationId, userId) {
      await change(conversationId, actorId, async (tx, { conversation, actor, members, at }) => {
        requireGroup(conversation)
        if (userId !== actorId) requireAdmin(actor)
        if (!members.some(member => member.user_id === userId)) throw unknownParticipant()
        await leaveConversation(tx, conversationId, userId, conversation.last_seq, at)
        return members.map(member => ({
          user_id: member.user_id,
          type: 'participant_removed' as const,
          conversation_id: conversationId,
          data: { user_id: userId, left_at: at.toISOString() }
        }))
      })
    }
  }
}

/** The membership of somebody who is in now. */
export function requirePresent (membership: Membership | undefined): Membership {
  if (membership === undefined) throw unknownConversation()
  if (membership.left_at !== null) throw formerMember()
  return membership
}

function checkNewConversation (type: 'direct' | 'group', others: string[], title: string | null | undefined): void {
  if (type === 'direct' && others.length !== 1) {
    throw invalid('invalid_participants', 'a direct conversation has exactly one participant besides yourself')
  }
  if (type === 'direct' && title != null) throw invalid('invalid_title', 'a direct conversation has no title')
  if (title != null && checkText(title, 'title') > MAX_TITLE_LENGTH) {
    throw invalid('invalid_title', `a title has at most ${MAX_TITLE_LENGTH} code points`)
  }
  if (others.length + 1 > MAX_PARTICIPANTS) throw tooManyParticipants()
}

function requireGroupAdmin (conversation: LockedConversation, actor: Membership): void {
  requireGroup(conversation)
  requireAdmin(actor)
}

function requireGroup ({ type }: LockedConversation): void {
  if (type !== 'group') throw new AppError('conflict', 'direct_conversation', 'the participants of a direct conversation do not change')
}

function requireAdmin ({ role }: Membership): void {
  if (role !== 'admin') throw new AppError('forbidden', 'admin_required', 'only an admin of the group may do this')
}

const unknownParticipant = (): AppError =>
  new AppError('not_found', 'participant_not_found', 'this user is not a participant of the conversation')

const tooManyParticipants = (): AppError =>
  new AppError('conflict', 'too_many_participants', `a conversation has at most ${MAX_PARTICIPANTS} participants`)
