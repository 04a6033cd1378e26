/**
 * Drafts, which a user's devices share. The last writer wins, by the time at which a draft comes here; one
 * that waited on its device says when it was written, and does not replace a newer one.
 */
import { invalid } from '../../core/errors.ts'
import { checkDraftContent } from '../../core/message-rules.ts'
import { type DraftView } from '../../core/views.ts'
import { findMembership } from '../../store/conversations/conversations.ts'
import { type Draft, findDraft, listDrafts, writeDraft } from '../../store/conversations/drafts.ts'
import { type Executor } from '../../store/database.ts'
import { type Wakes } from '../deliver/wakes.ts'
import { requirePresent } from '../membership.ts'

export interface Drafts {
  /**
   * Resolves to the draft that is kept then; an empty one is none. `updated_at` (ISO 8601): when it was
   * written, if that is not now. Throws `not_found` for a user who was never in, `forbidden` for a former
   * member.
   */
  put (
    userId: string, conversationId: string, draft: { content: string, updated_at?: string }
  ): Promise<DraftView>
  /** By conversation, after `after`. */
  list (userId: string, limit: number, after: string): Promise<DraftView[]>
}

export function createDrafts ({ db, wakes, now }: {
  db: Executor, wakes: Pick<Wakes, 'live'>, now: () => number
}): Drafts {
  return {
    async put (userId, conversationId, { content, updated_at }) {
      checkDraftContent(content)
      const writtenAt = updated_at === undefined ? undefined : readTime(updated_at)
      const written = await writeDraft(db, conversationId, userId, content, writtenAt)
      if (written !== undefined) {
        const draft = view(conversationId, written)
        wakes.live([userId], Buffer.from(JSON.stringify({ type: 'draft', ...draft })))
        return draft
      }
      requirePresent(await findMembership(db, conversationId, userId))
      const kept = await findDraft(db, conversationId, userId)
      return view(conversationId, kept ?? { content: '', updated_at: new Date(now()) })
    },
    async list (userId, limit, after) {
      return (await listDrafts(db, userId, limit, after)).map(draft => view(draft.conversation_id, draft))
    }
  }
}

const view = (conversation_id: string, { content, updated_at }: Draft): DraftView =>
  ({ conversation_id, content, updated_at: updated_at.toISOString() })

// RFC 3339 allows a leap second, which is no Date.
function readTime (text: string): Date {
  const time = new Date(text)
  if (!(time.getTime() >= 0)) {
    throw invalid('invalid_request', 'updated_at must be a time after 1970 in ISO 8601')
  }
  return time
}
