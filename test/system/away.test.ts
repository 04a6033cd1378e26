import { expect, test } from 'vitest'
import { scratchFolder, startEcho, token } from '../support/echo-process.ts'
import { connectPhone, range, seqs } from '../support/phone.ts'
import { restClient } from '../support/rest.ts'
import { until } from '../support/until.ts'

const MESSAGES = 300

test('a device that was away gets each of 300 messages once and in order, also across kill -9', {
  timeout: 120_000
}, async () => {
  await using folder = await scratchFolder()
  const [aliceToken, bobToken] = [await token('alice'), await token('bob')]
  let conversation = ''

  {
    await using echo = await startEcho({ dataDir: folder.path })
    const alice = restClient(echo.api, aliceToken)
    conversation = (await alice(
      'POST', '/conversations', { type: 'direct', participant_ids: ['bob'] }
    )).body.id
    // Two devices of bob have been here once.
    for (const deviceId of ['phone', 'tablet']) {
      await using device =
        await connectPhone({ userId: 'bob', deviceId, token: bobToken, port: echo.mqttPort })
      expect(device.sessionPresent).toBe(false)
      await until(async () => (await restClient(echo.api, bobToken)('GET', '/devices')).body.devices
        .some((d: { device_id: string, acked_seq: number }) =>
          d.device_id === deviceId && d.acked_seq === 1), 'the device has the conversation behind it')
    }
    await sendNumbered(alice, conversation, 0, MESSAGES / 2)
    await echo.kill()
  }

  await using echo = await startEcho({ dataDir: folder.path })
  await sendNumbered(restClient(echo.api, aliceToken), conversation, MESSAGES / 2, MESSAGES)
  const bob = restClient(echo.api, bobToken)
  const { epoch, last_seq: lastSeq } = (await bob('GET', '/conversations')).body.inbox
  expect(lastSeq).toBe(1 + MESSAGES)

  // A third device takes a snapshot and acknowledges it, before it ever connects.
  expect((await bob('POST', '/inbox/ack', { seq: lastSeq }, { 'x-device-id': 'laptop' })).status).toBe(204)

  for (const deviceId of ['phone', 'tablet']) {
    await using device =
      await connectPhone({ userId: 'bob', deviceId, token: bobToken, port: echo.mqttPort, subscribe: [] })
    expect(device.sessionPresent).toBe(true)
    await until(() => device.events.length >= MESSAGES, `${deviceId} has everything`, 30_000)
    expect(seqs(device.events)).toEqual(range(2, 1 + MESSAGES))
    expect(device.events.map(event => event.message.content)).toEqual(range(0, MESSAGES - 1).map(n =>
      `message ${n}`))
    expect(new Set(device.events.map(event => event.epoch))).toEqual(new Set([epoch]))
  }

  await using laptop =
    await connectPhone({ userId: 'bob', deviceId: 'laptop', token: bobToken, port: echo.mqttPort })
  await sendNumbered(restClient(echo.api, aliceToken), conversation, MESSAGES, MESSAGES + 1)
  await until(() => laptop.events.length > 0, 'the laptop has the next message')
  expect(seqs(laptop.events)).toEqual([lastSeq + 1])
})

async function sendNumbered (
  rest: ReturnType<typeof restClient>, conversation: string, from: number, to: number
): Promise<void> {
  for (let n = from; n < to; n++) {
    const { status } = await rest(
      'POST', '/messages', { conversation_id: conversation, content: `message ${n}`, message_type: 'text' }
    )
    if (status !== 201) throw new Error(`message ${n} was answered ${status}`)
  }
}
