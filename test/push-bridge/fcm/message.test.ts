import { expect, test } from 'vitest'
import { fcmMessage } from '../../../push-bridge/fcm/message.ts'
import { renderPush } from '../../../push-bridge/render.ts'
import { type Push } from '../../../push-bridge/sender.ts'
import { type PendingPush, type PushDevice } from '../../../store/push/pending.ts'
import { payloadBytes } from '../../../tools/fake-fcm/message.ts'

const NOW = Date.parse('2026-03-01T12:00:00.000Z')
const CONVERSATION = '0198c0de-0000-7000-8000-000000000001'
const push: Push = {
  userId: 'ben',
  deviceId: 'phone',
  platform: 'android',
  token: 't-1',
  title: 'Ana',
  body: 'hello',
  data: { type: 'new_message' },
  conversationTag: CONVERSATION,
  collapseId: 'm-1',
  ttlSeconds: 60,
  badge: 3
}
const silent = { ...push, title: undefined, body: undefined }

test('to Android a message is urgent, and stands in its conversation\'s place', () => {
  expect(fcmMessage(push, NOW)).toEqual({
    token: 't-1',
    data: { type: 'new_message' },
    notification: { title: 'Ana', body: 'hello' },
    android: {
      priority: 'high',
      ttl: 60_000,
      notification: { tag: CONVERSATION, sound: 'default', notificationCount: 3 }
    }
  })
})

test('to Apple a message alerts, is shown once however often it comes, and sets the badge', () => {
  expect(fcmMessage({ ...push, platform: 'ios' }, NOW).apns).toEqual({
    headers: {
      'apns-priority': '10',
      'apns-push-type': 'alert',
      'apns-collapse-id': 'm-1',
      'apns-expiration': String(NOW / 1_000 + 60)
    },
    payload: { aps: { badge: 3, sound: 'default', threadId: CONVERSATION, mutableContent: true } }
  })
  expect(fcmMessage({ ...push, platform: 'ios', ttlSeconds: 0 }, NOW).apns!.headers!['apns-expiration']).toBe(
    '0'
  )
})

test('to a browser a message replaces one of its conversation that still waits', () => {
  expect(fcmMessage({ ...push, platform: 'web' }, NOW).webpush).toEqual({
    headers: { TTL: '60', Urgency: 'high', Topic: '0198c0de000070008000000000000001' },
    notification: { tag: CONVERSATION, renotify: true }
  })
})

test('a silent push is not urgent and shows nothing', () => {
  expect(fcmMessage(silent, NOW)).toEqual({
    token: 't-1', data: push.data, android: { priority: 'normal', ttl: 60_000 }
  })
  expect(fcmMessage({ ...silent, platform: 'ios' }, NOW)).toMatchObject({
    apns: {
      headers: { 'apns-priority': '5', 'apns-push-type': 'background' },
      payload: { aps: { contentAvailable: true } }
    }
  })
  expect(fcmMessage({ ...silent, platform: 'web' }, NOW).webpush).toEqual({
    headers: { TTL: '60', Urgency: 'low' }
  })
})

const LONGEST =
  ['🦊', '"', '\\', '\u0001', '\ud83e', '\u2028', 'é', '👩‍👩‍👧‍👦'].map(part => part.repeat(10_000))

test('with the longest of everything a message stays below 4,096 bytes', () => {
  for (const long of LONGEST) {
    for (const platform of ['android', 'ios', 'web'] as const) {
      const device: PushDevice = {
        user_id: 'x'.repeat(64),
        device_id: 'phone',
        platform,
        push_token: 't'.repeat(1_024),
        pushed_at: null,
        push_paced_until: null,
        pending: []
      }
      const pending: PendingPush = {
        conversation_id: CONVERSATION,
        first_seq: 1,
        last_seq: Number.MAX_SAFE_INTEGER,
        count: Number.MAX_SAFE_INTEGER,
        message_id: CONVERSATION,
        sender_user_id: 'x'.repeat(64),
        content: long,
        message_type: 'text',
        created_at: new Date(NOW),
        sender_name: long,
        conversation_type: 'group',
        title: long
      }
      const rendered = renderPush(device, pending, {
        epoch: CONVERSATION, now: new Date(NOW), expireAfterMs: 28 * 86_400_000, privacy: 'preview', badge: 99
      })
      expect(payloadBytes({ ...fcmMessage(rendered, NOW) })).toBeLessThan(4_096)
      for (const text of [rendered.title!, rendered.body!]) {
        expect(text.isWellFormed()).toBe(true)
        expect([...text].length).toBeLessThanOrEqual(140)
      }
    }
  }
})
