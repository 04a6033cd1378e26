/** Which conversations a change is about, and several changes of one turn told as one. */
import { type Saved } from './saved.ts'

export interface ChangeNotice {
  /** Without an id: something outside of any conversation. */
  changed (conversationId?: string): void
  between (before: Saved, after: Saved): void
}

export function createChangeNotice (tell: (conversations: ReadonlySet<string>) => void): ChangeNotice {
  let pending: Set<string> | undefined

  function changed (conversationId?: string): void {
    if (pending === undefined) {
      pending = new Set()
      queueMicrotask(() => {
        const told = pending!
        pending = undefined
        tell(told)
      })
    }
    if (conversationId !== undefined) pending.add(conversationId)
  }

  function between (before: Saved, after: Saved): void {
    changed()
    for (const id of differingKeys(before.copy.conversations, after.copy.conversations)) changed(id)
    for (const id of differingKeys(before.drafts, after.drafts)) changed(id)
    for (const id of differingKeys(before.outbox, after.outbox)) {
      changed((before.outbox.get(id) ?? after.outbox.get(id))!.command.conversation_id)
    }
  }
  return { changed, between }
}

function * differingKeys<V> (
  before: ReadonlyMap<string, V>, after: ReadonlyMap<string, V>
): Iterable<string> {
  if (before === after) return
  for (const [key, value] of before) if (after.get(key) !== value) yield key
  for (const key of after.keys()) if (!before.has(key)) yield key
}
