/** A push as administrators see it: to whom and how it went, not what it said. */
import { type PushLogEntry } from '../messaging/cluster/push-log.ts'
import { type Push, type PushResult } from './sender.ts'

export const logEntryOf = (
  { userId, deviceId, platform, data }: Push, result: PushResult, at: number
): PushLogEntry => ({
  at,
  user_id: userId,
  device_id: deviceId,
  platform,
  kind: data.type === 'message_read' ? 'read' : 'message',
  message_id: data.message_id ?? null,
  outcome: result.outcome,
  reason: reasonOf(result) ?? null
})

function reasonOf (result: PushResult): string | undefined {
  if (result.outcome === 'retry' || result.outcome === 'rejected') return result.reason
  return result.outcome === 'blocked' ? result.detail : undefined
}
