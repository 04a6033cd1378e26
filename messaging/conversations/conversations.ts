/** Conversations: creating, looking at one, its title, muting it; participants.ts has who is in. */
import { uuidv7 } from 'uuidv7'
import { invalid, unknownConversation } from '../../core/errors.ts'
import { checkName, requireUserId } from '../../core/identity.ts'
import { checkText } from '../../core/message-rules.ts'
import { type ConversationView } from '../../core/views.ts'
import { conversationViews } from '../../store/conversations/views.ts'
import {
  directKeyOf, enterParticipants, findDirect, findMembership, insertConversation, presentMembers,
  setMutedUntil, setTitle, touchConversation
} from '../../store/conversations/conversations.ts'
import { type Executor } from '../../store/database.ts'
import { appendEvents, type AppendedEvent, type NewEvent } from '../../store/log/inbox.ts'
import { lockConversations, lockUsers } from '../../store/locks.ts'
import { createUsers } from '../../store/people/users.ts'
import { createAnnounce, type AnnounceDeps } from '../log/announce.ts'
import { createConversationChange } from './change.ts'
import { requireGroupAdmin, requirePresent } from '../membership.ts'
import {
  createParticipants, MAX_PARTICIPANTS, tooManyParticipants, type Participants
} from './participants.ts'

const MAX_TITLE_LENGTH = 200

export interface ConversationRequest {
  type: 'direct' | 'group'
  participant_ids: string[]
  title?: string | null
}
export interface ConversationChange { title?: string | null, muted_until?: string | null }

export interface Conversations extends Participants {
  create (
    creatorId: string, request: ConversationRequest
  ): Promise<{ conversation: ConversationView, created: boolean }>
  /** Throws `not_found` for a user who was never in, `forbidden` for a former member. */
  get (viewerId: string, conversationId: string): Promise<ConversationView>
  /** The title is for admins of a group, the mute for oneself; both change or neither. */
  update (actorId: string, conversationId: string, change: ConversationChange): Promise<ConversationView>
}

export function createConversations (deps: AnnounceDeps & { now: () => number }): Conversations {
  const { database, now } = deps
  const announce = createAnnounce(deps)
  const change = createConversationChange({ database, announce, now })

  async function get (viewerId: string, conversationId: string): Promise<ConversationView> {
    requirePresent(await findMembership(database.autocommit, conversationId, viewerId))
    const [view] = await conversationViews(database.autocommit, [{ conversationId, userId: viewerId }])
    if (view === undefined) throw unknownConversation()
    return view
  }

  return {
    ...createParticipants({ database, change, get }),
    get,

    async create (creatorId, request) {
      const { type, participant_ids } = request
      const title = readTitle(request.title ?? null)
      const others = [...new Set(participant_ids.map(requireUserId))].filter(id => id !== creatorId)
      checkNewConversation(type, others, title)
      const directKey = type === 'direct' ? directKeyOf(creatorId, others[0]!) : null
      const { id, created, appended } = await database.transact(async tx => {
        const id = uuidv7()
        const at = new Date(now())
        const created = await insertConversation(tx, { id, type, direct_key: directKey, title, at })
        if (!created) {
          const id = (await findDirect(tx, directKey!))!
          return { id, created, appended: await reenter(tx, id, [creatorId, ...others], at) }
        }
        const everyone = [creatorId, ...others]
        await createUsers(tx, everyone)
        await lockUsers(tx, everyone)
        await enterParticipants(tx, id, everyone.map(user_id => ({
          user_id, role: type === 'group' && user_id === creatorId ? 'admin' : 'member'
        })), 0, at)
        const events =
          everyone.map(user_id => ({ user_id, type: 'conversation_created' as const, conversation_id: id }))
        return { id, created, appended: await appendEvents(tx, events, at) }
      })
      await announce(appended)
      return { conversation: await get(creatorId, id), created }
    },

    async update (actorId, conversationId, asked) {
      const title = asked.title === undefined ? undefined : readTitle(asked.title)
      const mutedUntil = asked.muted_until === undefined ? undefined : readTime(asked.muted_until)
      await change(conversationId, actorId, ({ conversation, actor, members }) => {
        if (title !== undefined) requireGroupAdmin(conversation, actor)
        const retitled = title !== undefined && title !== conversation.title
        const muted = mutedUntil !== undefined && mutedUntil?.getTime() !== actor.muted_until?.getTime()
        const concerned = retitled ? members.map(member => member.user_id) : muted ? [actorId] : []
        return {
          events: concerned.map((user_id): NewEvent =>
            ({ user_id, type: 'conversation_updated', conversation_id: conversationId })),
          async write (tx) {
            if (retitled) await setTitle(tx, conversationId, title)
            if (muted) await setMutedUntil(tx, conversationId, actorId, mutedUntil)
          }
        }
      })
      return await get(actorId, conversationId)
    }
  }
}

/**
 * An erased user has left their direct conversations. With a new user of that id, one begins anew
 * where the old one ended.
 */
async function reenter (
  tx: Executor, conversationId: string, both: string[], at: Date
): Promise<AppendedEvent[]> {
  if ((await presentMembers(tx, conversationId)).length === both.length) return []
  const { last_seq } = (await lockConversations(tx, [conversationId])).get(conversationId)!
  await createUsers(tx, both)
  await lockUsers(tx, both)
  const present = new Set((await presentMembers(tx, conversationId)).map(member => member.user_id))
  const entering = both.filter(id => !present.has(id))
  if (entering.length === 0) return []
  await enterParticipants(
    tx, conversationId, entering.map(user_id => ({ user_id, role: 'member' })), last_seq, at
  )
  await touchConversation(tx, conversationId, at)
  return await appendEvents(tx, both.map((user_id): NewEvent => ({
    user_id,
    type: present.has(user_id) ? 'conversation_updated' : 'conversation_created',
    conversation_id: conversationId
  })), at)
}

function checkNewConversation (type: 'direct' | 'group', others: string[], title: string | null): void {
  if (type === 'direct' && others.length !== 1) {
    throw invalid(
      'invalid_participants', 'a direct conversation has exactly one participant besides yourself'
    )
  }
  if (type === 'direct' && title !== null) {
    throw invalid('invalid_title', 'a direct conversation has no title')
  }
  if (others.length + 1 > MAX_PARTICIPANTS) throw tooManyParticipants()
}

/** Null for a title of nothing or of spaces. */
function readTitle (text: string | null): string | null {
  const title = text?.trim() ?? ''
  if (checkText(title, 'title') > MAX_TITLE_LENGTH) {
    throw invalid('invalid_title', `a title has at most ${MAX_TITLE_LENGTH} code points`)
  }
  checkName(title, 'title')
  return title === '' ? null : title
}

// RFC 3339 allows a leap second, which is no Date.
function readTime (text: string | null): Date | null {
  if (text === null) return null
  const time = new Date(text)
  if (!(time.getTime() >= 0)) {
    throw invalid('invalid_muted_until', 'muted_until must be a time after 1970 in ISO 8601, or null')
  }
  return time
}
