/** /metrics: of several systems in one process, of a process without REST, and of what is refused. */
import { randomUUID } from 'node:crypto'
import { expect, test } from 'vitest'
import pino from 'pino'
import { startHealth } from '../../api/health-server.ts'
import { type Connection } from '../../messaging/deliver/connections.ts'
import { DatabaseAway } from '../../core/errors.ts'
import { grpcClient } from '../support/grpc-client.ts'
import { until } from '../support/until.ts'
import { direct, send, startTestApi } from './api.ts'

const metricsAt = async (url: string): Promise<string> => {
  const answer = await fetch(`${url}/metrics`)
  expect([answer.status, answer.headers.get('content-type')]).toEqual([
    200, expect.stringMatching(/^text\/plain; version=0\.0\.4/)
  ])
  return await answer.text()
}
const values = (text: string, series: string): number[] =>
  text.split('\n').filter(line => line.startsWith(`${series} `)).map(line => Number(line.split(' ')[1]))

test('a process without REST shows what it measures', async () => {
  await using health = await startHealth({
    host: '127.0.0.1', port: 0
  }, { log: pino({ level: 'silent' }), ready: async () => ({ ready: true, dependencies: {} }) })
  const text = await metricsAt(`http://127.0.0.1:${health.port}`)
  for (const name of ['echo_sends_total', 'echo_http_requests_total', 'process_cpu_seconds_total']) {
    expect(text).toContain(`# TYPE ${name} `)
  }
})

test('several systems in one process are shown together, each metric once, and one that is closed no more', async () => {
  await using one = await startTestApi()
  const connect = ({ messaging }: typeof one, userId: string): () => void =>
    messaging.connections.add({ userId, identity: { issuedAt: 0 } } as Connection)
  const ends = [connect(one, 'alice'), connect(one, 'bob')]
  {
    await using two = await startTestApi()
    ends.push(connect(two, 'alice'))
    for (const { url } of [one, two]) {
      const text = await metricsAt(url)
      expect(values(text, 'echo_connected_users')).toEqual([3])
      expect(values(text, 'echo_database_waiting{pool="reads"}')).toEqual([0])
      expect(text.match(/^# TYPE /gm)!.length).toBe(new Set(text.match(/^# TYPE \S+/gm)).size)
    }
  }
  expect(values(await metricsAt(one.url), 'echo_connected_users')).toEqual([2])
  for (const end of ends) end()
})

test('what is refused by a limit is counted', async () => {
  await using api = await startTestApi({ rateLimits: { requests: 3, sends: 1, windowMs: 10_000 } })
  const [alice, bob] = [await api.user('alice'), await api.user('bob')]
  const conversation = await direct(alice, bob)
  const counted = async (): Promise<number[]> => {
    const text = await metricsAt(api.url)
    return [
      'echo_http_rate_limited_total{limit="sends"}',
      'echo_http_rate_limited_total{limit="user"}',
      'echo_http_requests_total{method="POST",route="/api/v1/messages",status="429"}'
    ].map(series => values(text, series)[0] ?? 0)
  }
  const before = await counted()
  for (let i = 0; i < 3; i++) await send(alice, conversation, 'x')
  expect((await counted()).map((n, i) => n - before[i]!)).toEqual([2, 1, 2])
})

test('a client that goes before its answer counts as aborted', async () => {
  await using api = await startTestApi()
  const alice = await api.user('alice')
  const aborted = async (): Promise<number> => values(
    await metricsAt(api.url), 'echo_http_requests_total{method="GET",route="/api/v1/inbox",status="aborted"}'
  )[0] ?? 0
  const before = await aborted()
  const abort = new AbortController()
  const poll =
    alice.request('GET', '/inbox?wait=30', undefined, { signal: abort.signal }).catch(() => 'aborted')
  await until(() => api.messaging.wakes.users().includes(alice.id), 'the poll waits')
  abort.abort()
  expect(await poll).toBe('aborted')
  await until(async () => await aborted() === before + 1, 'it is counted')
})

test('a message fails also when its sender cannot be identified now, and does not when the token is wrong', async () => {
  await using api = await startTestApi()
  const alice = await api.user('alice')
  using client = grpcClient(api.grpcPort, alice.token)
  const failed = async (door: string): Promise<number> =>
    values(await metricsAt(api.url), `echo_sends_total{door="${door}",outcome="failed"}`)[0] ?? 0
  const before = [await failed('rest'), await failed('grpc')]
  const draft = { conversation_id: randomUUID(), content: 'x', message_type: 'text' }

  expect((await api.anonymous('no token').post('/messages', draft)).status).toBe(401)
  api.messaging.authentication.authenticate = async () => { throw new DatabaseAway(new Error('away')) }
  for (let i = 0; i < 3; i++) expect((await alice.post('/messages', draft)).status).toBe(503)
  expect((await alice.get('/users/me')).status).toBe(503)
  await expect(client.sendMessage({ ...draft, sender_user_id: 'alice' })).rejects.toThrow()
  expect([await failed('rest'), await failed('grpc')]).toEqual([before[0]! + 3, before[1]! + 1])
})
