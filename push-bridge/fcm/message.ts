/**
 * A push in the terms of FCM's HTTP v1 API.
 *
 * Android: high priority, and `tag` groups what is shown. There is no collapse key per conversation, for FCM
 * keeps four per device and drops the rest. Apple: `apns-collapse-id` shows a repeated push once, `thread-id`
 * groups. Web push: a newer push of the conversation replaces one that still waits.
 */
import {
  type AndroidConfig, type ApnsConfig, type TokenMessage, type WebpushConfig
} from 'firebase-admin/messaging'
import { type Push } from '../sender.ts'

/** `now` in milliseconds since 1970. */
export function fcmMessage (push: Push, now: number): TokenMessage {
  const { token, title, body, data, platform } = push
  const message: TokenMessage = { token, data }
  if (body !== undefined) message.notification = title === undefined ? { body } : { title, body }
  if (platform === 'android') message.android = android(push)
  if (platform === 'ios') message.apns = apple(push, now)
  if (platform === 'web') message.webpush = web(push)
  return message
}

const isShown = (push: Push): boolean => push.body !== undefined

function android (push: Push): AndroidConfig {
  const ttl = push.ttlSeconds * 1_000
  if (!isShown(push)) return { priority: 'normal', ttl }
  return {
    priority: 'high',
    ttl,
    notification: { tag: push.conversationTag, sound: 'default', notificationCount: push.badge }
  }
}

// A background push must carry priority 5 and nothing to show, no badge either: the app
// reads it from the data.
function apple (push: Push, now: number): ApnsConfig {
  const headers = {
    'apns-collapse-id': push.collapseId,
    'apns-expiration': String(push.ttlSeconds === 0 ? 0 : Math.floor(now / 1_000) + push.ttlSeconds)
  }
  if (!isShown(push)) {
    return {
      headers: { ...headers, 'apns-priority': '5', 'apns-push-type': 'background' },
      payload: { aps: { contentAvailable: true } }
    }
  }
  return {
    headers: { ...headers, 'apns-priority': '10', 'apns-push-type': 'alert' },
    payload: {
      aps: { badge: push.badge, sound: 'default', threadId: push.conversationTag, mutableContent: true }
    }
  }
}

// RFC 8030: a topic has at most 32 characters of the base64url alphabet; a UUID without its dashes fits.
function web (push: Push): WebpushConfig {
  const topic = push.conversationTag.replaceAll('-', '').slice(0, 32)
  if (!isShown(push)) return { headers: { TTL: String(push.ttlSeconds), Urgency: 'low' } }
  return {
    headers: { TTL: String(push.ttlSeconds), Urgency: 'high', Topic: topic },
    notification: { tag: push.conversationTag, renotify: true }
  }
}
