/** The last pushes of this process, for administrators who look. In memory only, without texts and tokens. */

const KEPT = 200

export interface PushLogEntry {
  /** Milliseconds since 1970. */
  at: number
  user_id: string
  device_id: string
  platform: 'android' | 'ios' | 'web'
  /** `message` wakes the phone, `read` silently takes notifications away. */
  kind: 'message' | 'read'
  message_id: string | null
  outcome: 'ok' | 'retry' | 'token_gone' | 'token_foreign' | 'rejected' | 'blocked'
  /** Why not, where the push service said so. */
  reason: string | null
}

export interface PushLog {
  add (entry: PushLogEntry): void
  newest (limit: number): PushLogEntry[]
}

export function createPushLog (kept = KEPT): PushLog {
  const entries: PushLogEntry[] = []
  return {
    add (entry) {
      entries.push(entry)
      if (entries.length > kept) entries.shift()
    },
    newest: limit => entries.slice(-limit).reverse()
  }
}
