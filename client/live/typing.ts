/** Who is typing. A notice holds for 10 s by the device's own clock, whatever the server's says. */
const HOLDS_MS = 10_000
/** The user's own notices: the server passes on no repetition within a second, and each holds for 10 s. */
const REPEAT_MS = 4_000

export interface Typing {
  /** User ids, in the order in which they began. */
  in (conversationId: string): string[]
  told (conversationId: string, userId: string, isTyping: boolean): void
  /** True when the server should be told. */
  own (conversationId: string, isTyping: boolean): boolean
  /** The connection is lost: nobody says that they stop. */
  clear (): void
}

export function createTyping (now: () => number, changed: (conversationId: string) => void): Typing {
  const timers = new Map<string, Map<string, ReturnType<typeof setTimeout>>>()
  const ownNotices = new Map<string, { isTyping: boolean, at: number }>()

  function stop (conversationId: string, userId: string): void {
    const typists = timers.get(conversationId)
    if (typists?.has(userId) !== true) return
    clearTimeout(typists.get(userId))
    typists.delete(userId)
    if (typists.size === 0) timers.delete(conversationId)
    changed(conversationId)
  }

  return {
    in: conversationId => [...timers.get(conversationId)?.keys() ?? []],
    told (conversationId, userId, isTyping) {
      if (!isTyping) return stop(conversationId, userId)
      const typists = timers.get(conversationId) ?? new Map<string, ReturnType<typeof setTimeout>>()
      timers.set(conversationId, typists)
      clearTimeout(typists.get(userId))
      const isNew = !typists.has(userId)
      typists.set(userId, setTimeout(() => stop(conversationId, userId), HOLDS_MS))
      if (isNew) changed(conversationId)
    },
    own (conversationId, isTyping) {
      const last = ownNotices.get(conversationId)
      if (last?.isTyping !== true && !isTyping) return false
      if (last?.isTyping === isTyping && now() - last.at < REPEAT_MS) return false
      if (isTyping) ownNotices.set(conversationId, { isTyping, at: now() })
      else ownNotices.delete(conversationId)
      return true
    },
    clear () {
      for (const [conversationId, typists] of [...timers]) {
        for (const userId of [...typists.keys()]) stop(conversationId, userId)
      }
      ownNotices.clear()
    }
  }
}
