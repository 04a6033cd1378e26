/**
 * Drafts as a device holds them: what the server has, or in its place what was written here and is not
 * confirmed. An empty one that waits will tell the server that there is none any more.
 */
import { type Draft } from '../wire/views.ts'

export interface HeldDraft {
  content: string
  /** The device's time while it waits, then the server's. */
  updated_at: string
  /** The server has not confirmed it. */
  waiting: boolean
}

/** By conversation. */
export type Drafts = ReadonlyMap<string, HeldDraft>

export type Kept = Pick<Draft, 'content' | 'updated_at'>

/** Written on this device; the same drafts when it says nothing new. */
export function written (drafts: Drafts, conversationId: string, content: string, at: string): Drafts {
  if ((drafts.get(conversationId)?.content ?? '') === content) return drafts
  return new Map(drafts).set(conversationId, { content, updated_at: at, waiting: true })
}

/** The server has this. */
export const confirmed = (drafts: Drafts, conversationId: string, { content, updated_at }: Kept): Drafts =>
  content === ''
    ? without(drafts, conversationId)
    : new Map(drafts).set(conversationId, { content, updated_at, waiting: false })

/** The server has these and no others. What waits here, waits. */
export function replaced (drafts: Drafts, kept: ReadonlyMap<string, Kept>): Drafts {
  const waiting = new Map([...drafts].filter(([, draft]) => draft.waiting))
  return [...kept].reduce<Drafts>(
    (all, [id, one]) => waiting.has(id) ? all : confirmed(all, id, one), waiting)
}

export function without (drafts: Drafts, conversationId: string): Drafts {
  if (!drafts.has(conversationId)) return drafts
  const rest = new Map(drafts)
  rest.delete(conversationId)
  return rest
}
