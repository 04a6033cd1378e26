import pino from 'pino'
import { expect, test } from 'vitest'
import { allowance, spend } from '../../../push-bridge/pace/device-pace.ts'
import { createGate } from '../../../push-bridge/pace/gate.ts'
import { type Push, type PushResult } from '../../../push-bridge/sender.ts'
import { createTrust } from '../../../push-bridge/pace/trust.ts'

const quiet = pino({ enabled: false })

function world () {
  let at = 1_000_000
  const gate = createGate({ now: () => at, random: () => 0, log: quiet })
  const learn = (result: PushResult, count = 1, platform: Push['platform'] = 'android') =>
    gate.learn(
      Array.from({ length: count }, () => ({ platform }) as Push), Array.from({ length: count }, () => result)
    )
  return { gate, learn, skip (ms: number) { at += ms } }
}

const ok: PushResult = { outcome: 'ok' }
const blocked: PushResult = { outcome: 'blocked', detail: 'no access token' }
const quota: PushResult = { outcome: 'retry', reason: 'quota', afterMs: 60_000 }

test('blocked, the bridge waits longer each time, names the reason, and is open after the first push that is taken', () => {
  const { gate, learn, skip } = world()
  for (const ms of [5_000, 10_000, 20_000, 40_000, 80_000, 160_000, 300_000, 300_000]) {
    learn(blocked)
    expect(gate.waitMs()).toBe(ms)
    expect(gate.health()).toEqual({ ok: false, detail: 'no access token' })
    skip(ms)
  }
  learn(ok)
  expect(gate.waitMs()).toBe(0)
  expect(gate.closedUntil()).toBeUndefined()
  expect(gate.health()).toEqual({ ok: true })
})

test('a push service out of reach closes the gate for a second, one lost connection among others does not', () => {
  const { gate, learn } = world()
  gate.learn(
    [{ platform: 'web' }, { platform: 'web' }] as Push[], [ok, { outcome: 'retry', reason: 'network' }]
  )
  expect(gate.waitMs()).toBe(0)
  learn({ outcome: 'retry', reason: 'network' }, 3)
  expect(gate.waitMs()).toBe(1_000)
})

test('after a 429 for most of a batch the bridge waits as long as FCM asks, then sends at half its rate, and speeds up again', () => {
  const { gate, learn, skip } = world()
  learn(ok, 1_000)
  learn(quota, 1_000)
  expect(gate.waitMs()).toBe(60_000)
  skip(60_000)
  expect(gate.waitMs()).toBe(0)
  learn(ok, 100) // half of 200 a second
  expect(gate.waitMs()).toBeCloseTo(1_000, 0)
  skip(10_000)
  learn(ok, 100)
  expect(gate.waitMs()).toBeLessThan(500)
  skip(60_000)
  learn(ok, 1_000)
  expect(gate.waitMs()).toBe(0)
})

test('a 429 for one device among many slows the bridge and does not stop it', () => {
  const { gate } = world()
  gate.learn(Array.from(
    { length: 100 }, () => ({ platform: 'android' }) as Push
  ), [quota, ...Array.from({ length: 99 }, () => ok)])
  expect(gate.waitMs()).toBe(0)
  gate.learn(
    Array.from({ length: 10 }, () => ({ platform: 'android' }) as Push), Array.from({ length: 10 }, () => ok)
  )
  expect(gate.waitMs()).toBeGreaterThan(1_000)
})

test('a push service that refuses FCM is named until it takes something', () => {
  const { gate, learn } = world()
  learn({ outcome: 'retry', reason: 'third_party_auth' }, 1, 'ios')
  learn(ok, 1, 'android')
  expect(gate.health()).toMatchObject({ ok: false, detail: expect.stringContaining('ios') })
  expect(gate.waitMs()).toBe(0)
  learn(ok, 1, 'ios')
  expect(gate.health()).toEqual({ ok: true })
})

test('refused tokens are believed once something was taken, and no longer after ten in a row, in batches however small', () => {
  const trust = createTrust(quiet)
  expect(trust.judge({ taken: 0, refused: 1 })).toBe(false)
  expect(trust.judge({ taken: 1, refused: 0 })).toBe(true)
  for (let i = 0; i < 9; i++) expect(trust.judge({ taken: 0, refused: 1 })).toBe(true)
  expect(trust.judge({ taken: 0, refused: 1 })).toBe(false)
  expect(trust.suspicious()).toBe(true)
  expect(trust.judge({ taken: 1, refused: 5 })).toBe(true)
  expect(trust.suspicious()).toBe(false)
})

test('Android gets 18 pushes at once and one every 190 s; others get 100 and one a second', () => {
  const now = new Date(1_000_000)
  for (const [platform, burst, everyMs] of [
    ['android', 18, 190_000], ['ios', 100, 1_000], ['web', 100, 1_000]
  ] as const) {
    const fresh = { platform, push_paced_until: null }
    expect(allowance(fresh, now).count).toBe(burst)
    const spent = { platform, push_paced_until: spend(fresh, burst, now) }
    expect(allowance(spent, now)).toEqual({ count: 0, moreAt: new Date(now.getTime() + everyMs) })
    expect(allowance(spent, new Date(now.getTime() + everyMs)).count).toBe(1)
    expect(
      allowance({ platform, push_paced_until: new Date(now.getTime() + 1e12) }, now).moreAt.getTime()
    ).toBe(now.getTime() + everyMs)
  }
})
