/** The real firebase-admin against a stand-in for FCM. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { startFcmSender } from '../../../push-bridge/fcm/sender.ts'
import { type Push } from '../../../push-bridge/sender.ts'
import { startFakeFcm, type Reaction } from '../../../tools/fake-fcm/server.ts'

const CONVERSATION = '0198c0de-0000-7000-8000-000000000001'
const MESSAGE = '0198c0de-0000-7000-8000-000000000002'

const push = (token: string, changes: Partial<Push> = {}): Push => ({
  userId: 'ben',
  deviceId: token,
  platform: 'android',
  token,
  title: 'Ana',
  body: 'hello',
  data: { type: 'new_message', message_id: MESSAGE },
  conversationTag: CONVERSATION,
  collapseId: MESSAGE,
  ttlSeconds: 60,
  badge: 3,
  ...changes
})

/** Answers of the stand-in by token, and what the sender makes of each. */
async function outcomes (reactions: Record<string, Reaction>) {
  await using fcm = await startFakeFcm()
  await using sender = await startFcmSender({ endpoint: fcm.url })
  fcm.react(token => reactions[token])
  const tokens = Object.keys(reactions)
  const results = await sender.send(tokens.map(token => push(token)))
  return {
    results: Object.fromEntries(tokens.map((token, i) => [token, results[i]])),
    requests: fcm.requests(),
    taken: fcm.pushes.map(({ token }) => token)
  }
}

test('pushes for every platform are taken, 500 in one call', async () => {
  await using fcm = await startFakeFcm()
  await using sender = await startFcmSender({ endpoint: fcm.url })
  const platforms = ['android', 'ios', 'web'] as const
  const pushes = Array.from({ length: 500 }, (_, i) => push(
    `t-${i}`, { platform: platforms[i % 3], ...(i % 2 === 0 ? {} : { title: undefined, body: undefined }) }
  ))
  const results = await sender.send(pushes)
  expect(results.every(({ outcome }) => outcome === 'ok')).toBe(true)
  expect(fcm.refusals).toEqual([])
  expect(fcm.pushes.map(({ token }) => token).sort()).toEqual(pushes.map(({ token }) => token).sort())
})

test('each refusal has its own meaning', async () => {
  const { results } = await outcomes({
    fine: undefined,
    gone: { error: 'UNREGISTERED' },
    foreign: { error: 'SENDER_ID_MISMATCH' },
    broken: { error: 'INVALID_ARGUMENT' },
    apple: { error: 'THIRD_PARTY_AUTH_ERROR' },
    internal: { error: 'INTERNAL' },
    proxy: { status: 502, text: '<html>bad gateway</html>' }
  })
  expect(results).toMatchObject({
    fine: { outcome: 'ok' },
    gone: { outcome: 'token_gone' },
    foreign: { outcome: 'token_foreign' },
    broken: { outcome: 'rejected', reason: 'invalid_argument' },
    apple: { outcome: 'retry', reason: 'third_party_auth' },
    internal: { outcome: 'retry', reason: 'internal' },
    proxy: { outcome: 'retry', reason: 'internal' }
  })
})

test('what is about our credentials, permission or project is not mistaken for a token\'s fault', async () => {
  const { results } = await outcomes({
    credentials: { error: 'UNAUTHENTICATED' },
    permission: { error: 'PERMISSION_DENIED' },
    project: { error: 'NOT_FOUND' }
  })
  for (const result of Object.values(results)) {
    expect(result).toMatchObject({ outcome: 'blocked', detail: expect.stringContaining('FCM answers') })
  }
})

test('a 429 waits for at least a minute, or as long as FCM says', async () => {
  const { results } = await outcomes({
    plain: { error: 'QUOTA_EXCEEDED' },
    short: { error: 'QUOTA_EXCEEDED', retryAfter: '5' },
    long: { error: 'QUOTA_EXCEEDED', retryAfter: '300' },
    date: { error: 'QUOTA_EXCEEDED', retryAfter: new Date(Date.now() + 600_000).toUTCString() },
    away: { error: 'UNAVAILABLE', retryAfter: '7' }
  })
  expect(results).toMatchObject({
    plain: { outcome: 'retry', reason: 'quota', afterMs: 60_000 },
    short: { afterMs: 60_000 },
    long: { afterMs: 300_000 },
    away: { outcome: 'retry', reason: 'unavailable', afterMs: 7_000 }
  })
  expect((results.date as { afterMs: number }).afterMs).toBeGreaterThan(590_000)
})

test('nothing is tried again behind the bridge\'s back', async () => {
  const { results, requests, taken } = await outcomes({
    unavailable: { error: 'UNAVAILABLE' },
    dropped: { drop: true },
    ambiguous: { drop: true, took: true }
  })
  expect(results).toMatchObject({
    unavailable: { outcome: 'retry' },
    dropped: { outcome: 'retry', reason: 'network' },
    ambiguous: { outcome: 'retry', reason: 'network' }
  })
  expect(requests).toBe(3)
  expect(taken).toEqual(['ambiguous'])
})

test('a push service that is not there is a matter of the network', async () => {
  const fcm = await startFakeFcm()
  await fcm[Symbol.asyncDispose]()
  await using sender = await startFcmSender({ endpoint: fcm.url })
  expect(await sender.send([push('t-1')])).toEqual([{ outcome: 'retry', reason: 'network' }])
})

test('slow answers take their time, at most 100 at once', async () => {
  await using fcm = await startFakeFcm()
  await using sender = await startFcmSender({ endpoint: fcm.url })
  fcm.react(() => ({ afterMs: 200 }))
  const sending = sender.send(Array.from({ length: 150 }, (_, i) => push(`t-${i}`)))
  expect((await sending).every(({ outcome }) => outcome === 'ok')).toBe(true)
  const times = fcm.pushes.map(({ at }) => at)
  expect(times[149]! - times[0]!).toBeGreaterThanOrEqual(190)
})

test('a credentials file that cannot be used says so', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'echo-fcm-'))
  const file = join(folder, 'account.json')
  await expect(startFcmSender({ credentialsFile: file })).rejects.toThrow(
    /GOOGLE_APPLICATION_CREDENTIALS: .*account\.json.*ENOENT/
  )
  await writeFile(file, '{"type":"service_account","project_id":"p","client_email":"e@p"}')
  await expect(startFcmSender({ credentialsFile: file })).rejects.toThrow(/private_key/)
  await writeFile(file, 'no json')
  await expect(startFcmSender({ credentialsFile: file })).rejects.toThrow(/no usable service account file/)
  await rm(folder, { recursive: true })
})
