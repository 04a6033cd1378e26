/** What a sleeping phone shows: one conversation's news as one push. */
import { type PendingPush, type PushDevice } from '../store/push/pending.ts'
import { type Push } from './sender.ts'

const MAX_TITLE_LENGTH = 100
const MAX_BODY_LENGTH = 140
/** As JSON. With everything else at its longest a push stays below the 4,096 bytes of push services. */
const MAX_TEXT_BYTES = 900

/** `content-free`: the push services learn ids and a count; no names, no contents. */
export type PushPrivacy = 'preview' | 'content-free'

export interface RenderContext {
  epoch: string
  now: Date
  expireAfterMs: number
  privacy: PushPrivacy
  /** The user's unread messages. */
  badge: number
}

export function renderPush (
  device: PushDevice, pending: PendingPush, { epoch, now, expireAfterMs, privacy, badge }: RenderContext
): Push {
  const expiresAt = pending.created_at.getTime() + expireAfterMs
  return {
    userId: device.user_id,
    deviceId: device.device_id,
    platform: device.platform,
    token: device.push_token,
    title: privacy === 'content-free' ? undefined : title(pending),
    body: privacy === 'content-free' ? counted(pending.count) : body(pending),
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
    ttlSeconds: Math.max(0, Math.floor((expiresAt - now.getTime()) / 1000)),
    badge
  }
}

function title ({ conversation_type, title, sender_name, sender_user_id }: PendingPush): string {
  const sender = oneLine(sender_name ?? '') || sender_user_id
  const group = conversation_type === 'group' ? oneLine(title ?? '') : ''
  return group === ''
    ? cut(sender, MAX_TITLE_LENGTH)
    : `${cut(group, MAX_TITLE_LENGTH / 2 - 2)}: ${cut(sender, MAX_TITLE_LENGTH / 2)}`
}

function body ({ count, message_type, content }: PendingPush): string {
  const text = message_type === 'text' ? oneLine(content) : NAMES[message_type]
  return cut(count > 1 ? `${counted(count)}: ${text}` : text, MAX_BODY_LENGTH)
}

const counted = (count: number): string => count > 1 ? `${count} new messages` : 'New message'

const NAMES = { image: 'Photo', video: 'Video', audio: 'Audio message' }

// Control characters show nothing and would each be 6 bytes of JSON.
const oneLine = (text: string): string => text.toWellFormed().replace(/[\s\p{Cc}]+/gu, ' ').trim()

/** At most `length` code points and MAX_TEXT_BYTES, the last one an ellipsis when something is missing. */
export function cut (text: string, length: number): string {
  const points = [...text]
  let kept = 0
  let bytes = 0
  for (; kept < points.length && kept < length; kept++) {
    bytes += Buffer.byteLength(JSON.stringify(points[kept])) - 2
    if (bytes > MAX_TEXT_BYTES) break
  }
  return kept === points.length ? text : `${points.slice(0, kept - 1).join('').trimEnd()}…`
}
