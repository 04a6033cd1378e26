import { expect, test } from 'vitest'
import { retryDelayMs } from '../../push-bridge/pace/backoff.ts'
import { conclude } from '../../push-bridge/conclusion.ts'
import { type DevicePlan } from '../../push-bridge/plan.ts'
import { type PendingPush, type PushDevice } from '../../store/push/pending.ts'

const NOW = new Date('2026-03-01T12:00:00.000Z')
const later = (ms: number): Date => new Date(NOW.getTime() + ms)
const claim = { user_id: 'ben', seq: 5, attempts: 4 }
const context = { now: NOW, retryDelayMs: () => 600_000, believed: true, closedUntil: undefined }

const pending = { conversation_id: 'c-1', first_seq: 3, last_seq: 5 } as PendingPush
const device = (device_id: string): PushDevice => ({
  user_id: 'ben',
  device_id,
  platform: 'web',
  push_token: device_id,
  pushed_at: null,
  push_paced_until: null,
  pending: [pending]
})
const held = (ms: number): DevicePlan => ({ device: device('held'), heldUntil: later(ms), send: [] })
const sent: DevicePlan = { device: device('sent'), heldUntil: undefined, send: [pending] }

test('waiting for a merge is no failed attempt, however often it happens', () => {
  const { postponed } = conclude([claim], [held(2_000)], () => ({ outcome: 'ok' }), context)
  expect(postponed).toEqual([{ user_id: 'ben', due_at: later(2_000), attempts: 1 }])
})

test('a device that fails holds up the others for a minute at most', () => {
  const { postponed, records } = conclude([claim], [sent, held(2_000)], () => ({ outcome: 'retry' }), context)
  expect(postponed).toEqual([{ user_id: 'ben', due_at: later(60_000), attempts: 4 }])
  expect(records).toEqual([{ user_id: 'ben', device_id: 'sent', pushed_seq: 2, pushed_at: undefined }])
})

test('a retry waits twice as long each time, with some chance, up to an hour', () => {
  expect([1, 2, 3].map(attempts => retryDelayMs(attempts, 10_000, () => 0))).toEqual([10_000, 20_000, 40_000])
  expect(retryDelayMs(1, 10_000, () => 0.999)).toBeLessThan(15_000)
  expect(retryDelayMs(1_000, 10_000, () => 0.5)).toBe(3_600_000)
})
