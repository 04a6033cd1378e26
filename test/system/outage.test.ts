/** A PostgreSQL that freezes: everybody learns of it soon, the log tells of it twice, nothing is lost. */
import { expect, test } from 'vitest'
import { token } from '../support/echo-process.ts'
import { grpcHealth } from '../support/grpc-health.ts'
import { startOnOwnPostgres } from '../support/own-postgres.ts'
import { connectPhone } from '../support/phone.ts'
import { restClient } from '../support/rest.ts'
import { until } from '../support/until.ts'

/** Frozen for longer than any timeout of the server and of its clients. */
const FROZEN_MS = 25_000

test('a frozen database fails sends within 5 s and readiness within 2 s, and is told of once', async () => {
  await using started = await startOnOwnPostgres()
  const { echo, postgres } = started
  const [aliceToken, bobToken] = [await token('alice'), await token('bob')]
  const alice = restClient(echo.api, aliceToken)
  const { id } = (await alice('POST', '/conversations', { type: 'direct', participant_ids: ['bob'] })).body
  await using phone =
    await connectPhone({ userId: 'bob', deviceId: 'p', token: bobToken, port: echo.mqttPort })
  const send = async (content: string): Promise<number> => (await alice(
    'POST', '/messages', { conversation_id: id, content, message_type: 'text', client_message_id: content }
  )).status
  expect(await send('before')).toBe(201)

  const frozenAt = performance.now()
  await postgres.pause()
  const waits: number[] = []
  const asked: number[] = []
  // Some come while a batch hangs, and wait behind it.
  const sends = Promise.all(Array.from({ length: 12 }, async (_, i) => {
    await until(() => performance.now() - frozenAt > i * 400, 'its time has come')
    const at = performance.now()
    const status = await send(`${i}`)
    waits.push(performance.now() - at)
    return status
  }))
  await until(async () => {
    const at = performance.now()
    const { status } = await fetch(`${echo.http}/ready`)
    asked.push(performance.now() - at)
    return status === 503
  }, 'it is not ready')
  expect(new Set(await sends)).toEqual(new Set([503]))
  await until(async () => await grpcHealth(echo.grpcPort) === 'NOT_SERVING', 'gRPC says so too')
  await until(() => performance.now() - frozenAt > FROZEN_MS, 'it was frozen for long')
  await postgres.resume()

  await until(async () => (await fetch(`${echo.http}/ready`)).status === 200, 'it is ready again')
  await until(async () => await grpcHealth(echo.grpcPort) === 'SERVING', 'gRPC serves again')
  for (let i = 0; i < 12; i++) await until(async () => await send(`${i}`) < 300, 'it is sent again')
  const contents = (): string[] =>
    phone.events.flatMap(event => event.type === 'new_message' ? [event.message.content] : [])
  await until(() => contents().length === 13, 'everything came')
  expect(contents()).toEqual(['before', ...Array.from({ length: 12 }, (_, i) => `${i}`)])
  // Without a limit they would have waited for as long as it was frozen.
  expect(Math.max(...waits)).toBeLessThan(FROZEN_MS - 5_000)
  expect(Math.max(...asked)).toBeLessThan(FROZEN_MS - 5_000)
  await until(() => echo.output().includes('the database is back'), 'it is told that it is over')
  const lines = echo.output().split('\n').filter(line => /^\{/.test(line)).map(line => JSON.parse(line))
    .filter(line => line.level >= 40 && line.time > Date.now() - performance.now() + frozenAt)
  expect(lines.map(line => line.msg).filter(msg => msg !== 'connections to the database were lost'))
    .toEqual(['the database is away', 'the database is back'])
  expect(lines.at(-1)).toMatchObject({ away_ms: expect.any(Number), failed: expect.any(Object) })
})
