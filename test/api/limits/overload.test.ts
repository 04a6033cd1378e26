/** A process that cannot keep up refuses early what it could only answer late. */
import { setImmediate as turn } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { defaultLimits, type OverloadLimits } from '../../../api/limits/overload.ts'
import { overloaded } from '../../../core/errors.ts'
import { PROBLEM_TYPE } from '../../../api/contract/problems.ts'
import { grpcClient, refused } from '../../support/grpc-client.ts'
import { until } from '../../support/until.ts'
import { direct, send, startTestApi } from '../api.ts'

const limits: OverloadLimits = { ...defaultLimits(), eventLoopDelayMs: 100, sampleMs: 100 }

/**
 * Keeps the loop of this process, which is also the server's, late by `ms` in every turn, until it is
 * stopped.
 */
function makeLate (ms: number): { stop (): void } {
  const state = { late: true }
  const spin = async (): Promise<void> => {
    while (state.late) {
      for (const end = performance.now() + ms; performance.now() < end;) { /* nothing else runs */ }
      await turn()
    }
  }
  spin().catch(() => {})
  return { stop () { state.late = false } }
}

test('a late event loop answers 503 and UNAVAILABLE at once, health goes on, and nothing is refused when it is over', async () => {
  await using api = await startTestApi({ overload: limits })
  const [alice, bob] = [await api.user('alice'), await api.user('bob')]
  const conversation = await until(() => direct(alice, bob), 'a conversation is made')
  using client = grpcClient(api.grpcPort, alice.token)
  const draft = {
    conversation_id: conversation, sender_user_id: alice.id, content: 'too much', message_type: 'text'
  }
  const late = makeLate(250)
  try {
    const answer = await until(async () => {
      const answer = await send(alice, conversation, 'too much')
      return answer.status === 503 && answer
    }, 'a message is refused')
    expect(answer.headers.get('content-type')).toContain(PROBLEM_TYPE)
    expect([answer.body.code, answer.headers.get('retry-after')]).toEqual(['overloaded', '1'])
    const [call, stream] = [refused(client.sendMessage(draft)), client.streamMessages({ user_id: alice.id })]
    for (const refusal of [await call, (await stream).end]) {
      expect(refusal).toMatchObject({ status: 'UNAVAILABLE', code: 'overloaded' })
      expect(refusal!.metadata.get('retry-after')).toEqual(['1'])
    }
    for (const path of ['//health', '//ready']) {
      expect((await api.anonymous().get(path)).status, path).toBe(200)
    }
  } finally {
    late.stop()
  }
  await until(
    async () => (await send(alice, conversation, 'again')).status === 201, 'messages are taken again'
  )
  expect((await client.sendMessage(draft)).message.content).toBe('too much')
})

test('a full queue of messages refuses over REST and gRPC', async () => {
  await using api = await startTestApi()
  const [alice, bob] = [await api.user('alice'), await api.user('bob')]
  const conversation = await direct(alice, bob)
  using client = grpcClient(api.grpcPort, alice.token)
  const { sends } = api.messaging
  // What the queue says when it is full.
  sends.send = async () => { throw overloaded('too many messages are waiting to be stored') }
  const answer = await send(alice, conversation, 'one more')
  expect([answer.status, answer.body.code, answer.headers.get('retry-after')])
    .toEqual([503, 'overloaded', '1'])
  const { status, code, metadata } = await refused(client.sendMessage({
    conversation_id: conversation, sender_user_id: alice.id, content: 'one more', message_type: 'text'
  }))
  expect([status, code, metadata.get('retry-after')]).toEqual(['UNAVAILABLE', 'overloaded', ['1']])
})

test('memory that is about to end refuses, too', async () => {
  for (const short of [{ heapBytes: 1 }, { residentBytes: 1 }]) {
    await using api = await startTestApi({ overload: { ...limits, ...short, eventLoopDelayMs: Infinity } })
    const alice = await api.user('alice')
    const answer = await until(async () => {
      const answer = await alice.get('/users/me')
      return answer.status === 503 && answer
    }, 'a request is refused')
    expect(answer.body.code).toBe('overloaded')
  }
})

test('a silence does not count as late', async () => {
  await using api = await startTestApi({ overload: { ...limits, eventLoopDelayMs: 800, sampleMs: 20 } })
  const alice = await api.user('alice')
  const elapsed = (ms: number): (() => boolean) => {
    const since = performance.now()
    return () => performance.now() - since > ms
  }
  expect((await alice.get('/users/me')).status).toBe(200)
  await until(elapsed(3_000), 'nobody asks for many samples')
  const some = elapsed(300)
  do expect((await alice.get('/users/me')).status).toBe(200); while (!some())
})
