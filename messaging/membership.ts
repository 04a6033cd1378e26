/** Who may do what in a conversation. */
import { AppError, formerMember, unknownConversation } from '../core/errors.ts'
import { type Membership } from '../store/conversations/conversations.ts'
import { type LockedConversation } from '../store/locks.ts'

/** The membership of a user who is in now. */
export function requirePresent (membership: Membership | undefined): Membership {
  if (membership === undefined) throw unknownConversation()
  if (membership.left_at !== null) throw formerMember()
  return membership
}

export function requireGroupAdmin (conversation: LockedConversation, actor: Membership): void {
  requireGroup(conversation)
  requireAdmin(actor)
}

export function requireGroup ({ type }: LockedConversation): void {
  if (type !== 'group') {
    throw new AppError(
      'conflict', 'direct_conversation', 'title and participants of a direct conversation do not change'
    )
  }
}

export function requireAdmin ({ role }: Membership): void {
  if (role !== 'admin') {
    throw new AppError('forbidden', 'admin_required', 'only an admin of the group may do this')
  }
}

export const sendingNotAllowed = (): AppError =>
  new AppError('forbidden', 'sending_not_allowed', 'you may not send messages in this conversation')
