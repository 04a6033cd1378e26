import { expect, test } from 'vitest'
import { cut, renderPush } from '../../push-bridge/render.ts'
import { type PendingPush, type PushDevice } from '../../store/push/pending.ts'

const NOW = new Date('2026-03-01T12:00:00.000Z')
const CONTEXT = { epoch: 'e-1', now: NOW, expireAfterMs: 3_600_000, privacy: 'preview', badge: 3 } as const

const pending: PendingPush = {
  conversation_id: 'c-1',
  first_seq: 7,
  last_seq: 9,
  count: 1,
  message_id: 'm-1',
  sender_user_id: 'ana',
  content: 'hello',
  message_type: 'text',
  created_at: new Date('2026-03-01T11:59:00.000Z'),
  sender_name: 'Ana',
  conversation_type: 'direct',
  title: null
}
const device: PushDevice = {
  user_id: 'ben',
  device_id: 'phone',
  platform: 'ios',
  push_token: 't-1',
  pushed_at: null,
  push_paced_until: null,
  pending: []
}

test('a push carries what the phone shows and where the app continues', () => {
  expect(renderPush(device, pending, CONTEXT)).toEqual({
    userId: 'ben',
    deviceId: 'phone',
    platform: 'ios',
    token: 't-1',
    title: 'Ana',
    body: 'hello',
    data: {
      type: 'new_message',
      message_id: 'm-1',
      conversation_id: 'c-1',
      sender_user_id: 'ana',
      created_at: '2026-03-01T11:59:00.000Z',
      seq: '9',
      epoch: 'e-1'
    },
    conversationTag: 'c-1',
    collapseId: 'm-1',
    ttlSeconds: 3540,
    badge: 3
  })
})

const show = (changes: Partial<PendingPush>) => renderPush(device, { ...pending, ...changes }, CONTEXT)

test('the title names the sender, in a group the group too', () => {
  expect(show({ sender_name: null }).title).toBe('ana')
  expect(show({ conversation_type: 'group', title: 'Team' }).title).toBe('Team: Ana')
  expect(show({ conversation_type: 'group', title: null }).title).toBe('Ana')
  expect([
    ...show({ conversation_type: 'group', title: 'T'.repeat(200), sender_name: 'A'.repeat(200) }).title!
  ].length).toBe(100)
})

test('several messages are counted', () => {
  expect(show({ count: 3 }).body).toBe('3 new messages: hello')
})

test('what is no text is named', () => {
  expect(show({ message_type: 'image', content: 'https://…' }).body).toBe('Photo')
  expect(show({ message_type: 'video' }).body).toBe('Video')
  expect(show({ message_type: 'audio', count: 2 }).body).toBe('2 new messages: Audio message')
})

test('a long body is cut at code points, on one line', () => {
  const { body } = show({ content: '🦊\n'.repeat(200), count: 2 })
  expect([...body!].length).toBeLessThanOrEqual(140)
  expect(body!.isWellFormed()).toBe(true)
  expect(body).toMatch(/^2 new messages: 🦊 🦊 .*…$/u)
  expect(cut('🦊'.repeat(140), 140)).toBe('🦊'.repeat(140))
  expect(cut('🦊'.repeat(141), 140)).toBe('🦊'.repeat(139) + '…')
})

test('a push that is past its time lives no longer', () => {
  expect(show({ created_at: new Date('2026-03-01T10:00:00.000Z') }).ttlSeconds).toBe(0)
})

test('the largest push stays far below 4,096 bytes', () => {
  const push = show({
    conversation_type: 'group',
    title: '🦊'.repeat(200),
    sender_name: '🦊'.repeat(200),
    content: '🦊'.repeat(200),
    sender_user_id: 'x'.repeat(64)
  })
  expect(
    Buffer.byteLength(JSON.stringify({ title: push.title, body: push.body, data: push.data }))
  ).toBeLessThan(2_000)
})

test('content-free, a push has no name and no content, only a count', () => {
  const hidden = renderPush(device, {
    ...pending, count: 2, conversation_type: 'group', title: 'Secret plans'
  }, { ...CONTEXT, privacy: 'content-free' })
  expect(hidden).toMatchObject({ title: undefined, body: '2 new messages' })
  expect(JSON.stringify(hidden)).not.toMatch(/Ana|hello|Secret/)
})
