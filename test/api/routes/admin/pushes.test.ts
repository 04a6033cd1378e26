import { afterAll, beforeAll, expect, test } from 'vitest'
import { createPushLog, type PushLogEntry } from '../../../../messaging/cluster/push-log.ts'
import { logEntryOf } from '../../../../push-bridge/log-entry.ts'
import { type Push } from '../../../../push-bridge/sender.ts'
import { type Caller, startTestApi, type TestApi } from '../../api.ts'

const MESSAGE = '01980f5c-6f1e-7cc3-98a4-1d2b3c4d5e6f'
const PUSH: Push = {
  userId: 'bob',
  deviceId: 'pixel',
  platform: 'android',
  token: 'a secret token',
  title: 'Alice',
  body: 'a secret text',
  data: { type: 'new_message', message_id: MESSAGE },
  conversationTag: 'c',
  collapseId: 'm',
  ttlSeconds: 60,
  badge: 1
}

let api: TestApi
let root: Caller

beforeAll(async () => {
  api = await startTestApi()
  root = await api.user('root', { claims: { scope: 'admin' } })
})
afterAll(() => api[Symbol.asyncDispose]())

test('an admin sees to whom pushes went and what became of them, not what they said', async () => {
  api.messaging.pushLog.add(logEntryOf(PUSH, { outcome: 'ok' }, 1_000))
  const silent = { ...PUSH, deviceId: 'old', data: { type: 'message_read' } }
  api.messaging.pushLog.add(logEntryOf(silent, { outcome: 'retry', reason: 'quota' }, 2_000))
  const { status, body } = await root.get('/admin/pushes?limit=2')
  const common = { node: 'alone', user_id: 'bob', platform: 'android' }
  expect([status, body]).toEqual([200, {
    pushes: [
      {
        ...common,
        at: '1970-01-01T00:00:02.000Z',
        device_id: 'old',
        kind: 'read',
        message_id: null,
        outcome: 'retry',
        reason: 'quota'
      },
      {
        ...common,
        at: '1970-01-01T00:00:01.000Z',
        device_id: 'pixel',
        kind: 'message',
        message_id: MESSAGE,
        outcome: 'ok',
        reason: null
      }
    ],
    nodes: { answered: ['alone'], silent: [], complete: true }
  }])
  expect(JSON.stringify(body)).not.toContain('secret')
})

test('a process remembers its last pushes only', () => {
  const log = createPushLog(2)
  for (const at of [1, 2, 3]) log.add({ at } as PushLogEntry)
  expect(log.newest(10).map(({ at }) => at)).toEqual([3, 2])
  expect(log.newest(1).map(({ at }) => at)).toEqual([3])
})
