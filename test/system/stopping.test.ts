/** How a process leaves: it says so first and serves as before, until the time is over or nobody waits. */
import { expect, test } from 'vitest'
import { startEchoAlone, token } from '../support/echo-process.ts'
import { grpcHealth } from '../support/grpc-health.ts'
import { connectPhone } from '../support/phone.ts'
import { restClient } from '../support/rest.ts'
import { until } from '../support/until.ts'

const LONGER_THAN_ANY_TEST_MS = '600000'

test('a process that stops is not ready and serves as before, until a second signal', async () => {
  await using echo = await startEchoAlone({ env: { STOP_DELAY_MS: LONGER_THAN_ANY_TEST_MS } })
  const [aliceToken, bobToken] = [await token('alice'), await token('bob')]
  const alice = restClient(echo.api, aliceToken)
  const { id } = (await alice('POST', '/conversations', { type: 'direct', participant_ids: ['bob'] })).body
  expect((await fetch(`${echo.http}/ready`)).status).toBe(200)

  // Twice, as npm does it when the signal goes to its whole process group.
  echo.child.kill('SIGTERM')
  echo.child.kill('SIGINT')
  await until(async () => (await fetch(`${echo.http}/ready`)).status === 503, 'it says that it is not ready')
  expect(await (await fetch(`${echo.http}/ready`)).json()).toMatchObject({
    ready: false, dependencies: { echo: { detail: 'it is stopping' } }
  })
  expect(await grpcHealth(echo.grpcPort)).toBe('NOT_SERVING')
  await using phone =
    await connectPhone({ userId: 'bob', deviceId: 'phone', token: bobToken, port: echo.mqttPort })
  const message = { conversation_id: id, content: 'meanwhile', message_type: 'text' }
  // A busy machine may make it refuse for a moment, as any server then does.
  await until(async () => (await alice('POST', '/messages', message)).status === 201, 'it takes the message')
  await until(() => phone.events.some(event => event.message?.content === 'meanwhile'), 'it is delivered')

  await until(() => {
    echo.child.kill('SIGTERM')
    return echo.child.exitCode !== null
  }, 'nobody waits for it any more')
  expect(echo.child.exitCode).toBe(0)
})
