/** What a sleeping phone shows: one conversation's news as one push. */
import { type PendingPush, type PushDevice } from '../store/push-due.ts'
import { type Push } from './sender.ts'

const MAX_TITLE_LENGTH = 100
const MAX_BODY_LENGTH = 140

export interface RenderContext {
  epoch: string
  now: Date
  expireAfterMs: number
}

/** Stays far below the 4,096 bytes that push services take: lengths count code points, of 4 bytes at most. */
export function renderPush (device: PushDevice, pending: PendingPush, { epoch, now, expireAfterMs }: RenderContext): Push {
  const expiresAt = pending.created_at.getTime() + expireAfterMs
  return {
    userId: device.user_id,
    deviceId: device.device_id,
    platform: device.platform,
    token: device.push_token,
    title: title(pending),
    body: body(pending),
    data: {
      type: 'new_message',
      message_id: pending.message_id,
      conversation_id: pending.conversation_id,
      sender_user_id: pending.sender_user_id,
      created_at: pending.created_at.toISOString(),
      seq: String(pending.last_seq),
      epoch
    },
    conversationTag: pending.conversation_id,
    collapseId: pending.message_id,
    ttlSeconds: Math.max(0, Math.floor((expiresAt - now.getTime()) / 1000))
  }
}

function title ({ conversation_type, title, sender_name, sender_user_id }: PendingPush): string {
  const sender = oneLine(sender_name ?? '') || sender_user_id
  const group = conversation_type === 'group' ? oneLine(title ?? '') : ''
  return group === '' ? cut(sender, MAX_TITLE_LENGTH) : `${cut(group, MAX_TITLE_LENGTH / 2 - 2)}: ${cut(sender, MAX_TITLE_LENGTH / 2)}`
}

function body ({ count, message_type, content }: PendingPush): string {
  const text = message_type === 'text' ? oneLine(content) : NAMES[message_type]
  return cut(count > 1 ? `${count} new messages: ${text}` : text, MAX_BODY_LENGTH)
}

const NAMES = { image: 'Photo', video: 'Video', audio: 'Audio message' }

const oneLine = (text: string): string => text.replace(/\s+/g, ' ').trim()

/** At most `length` code points, the last one an ellipsis when something is missing. */
export function cut (text: string, length: number): string {
  const points = [...text]
  return points.length <= length ? text : `${points.slice(0, length - 1).join('').trimEnd()}…`
}
