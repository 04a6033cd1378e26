/** One conversation, its members each at a door of their own. */
import { expect, test } from 'vitest'
import { startEchoAlone, token } from '../support/echo-process.ts'
import { openEvents } from '../support/event-stream.ts'
import { grpcClient } from '../support/grpc-client.ts'
import { connectJson } from '../support/json-device.ts'
import { connectPhone } from '../support/phone.ts'
import { restClient } from '../support/rest.ts'
import { until } from '../support/until.ts'

const ROUNDS = 20

test('alice on MQTT, bob on JSON, carol on gRPC and dave on server-sent events see everything once and in order', async () => {
  await using echo = await startEchoAlone()
  const [alicesToken, bobsToken, carolsToken, davesToken] =
    await Promise.all([token('alice'), token('bob'), token('carol'), token('dave')])
  const [alice, dave] = [restClient(echo.api, alicesToken), restClient(echo.api, davesToken)]
  const { body: { id } } = await alice('POST', '/conversations', {
    type: 'group', participant_ids: ['bob', 'carol', 'dave'], title: 'Doors'
  })
  await using phone = await connectPhone({
    userId: 'alice', deviceId: 'phone', token: alicesToken, port: echo.mqttPort
  })
  await using bob = await connectJson(echo.wsPort, { token: bobsToken, deviceId: 'laptop' })
  using carol = grpcClient(echo.grpcPort, carolsToken)
  const carols = await carol.streamMessages({ user_id: 'carol' })
  using daves = await openEvents(echo.api, davesToken)

  const draft = (content: string) => ({ conversation_id: id, content, message_type: 'text' })
  const sent: string[] = []
  for (let round = 0; round < ROUNDS; round++) {
    const key = `alice-${round}`
    await phone.client.publishAsync('user/alice/outbox', JSON.stringify({
      type: 'send_message', client_message_id: key, ...draft(key)
    }), { qos: 1 })
    await carol.sendMessage({ sender_user_id: 'carol', ...draft(`carol-${round}`) })
    await dave('POST', '/messages', draft(`dave-${round}`))
    bob.send({ type: 'send_message', client_message_id: `bob-${round}`, ...draft(`bob-${round}`) })
    await until(() => bob.replies.length === round + 1, 'the answer came')
    sent.push(key, `carol-${round}`, `dave-${round}`, `bob-${round}`)
  }

  const onPhone = (): unknown[] => phone.events.filter(({ message }) => message !== undefined)
    .map(({ message }) => message.content)
  const onGrpc = (): unknown[] => carols.events.map(({ message }) => message!.content)
  const onSse = (): unknown[] => daves.events().filter(({ data }) => data.message !== undefined)
    .map(({ data }) => data.message.content)
  for (const seen of [onPhone, onGrpc, onSse]) {
    await until(() => seen().length >= sent.length, 'everything came')
    expect(seen()).toEqual(sent)
  }
  // A JSON WebSocket is not sent what its own user sends.
  const othersSent = sent.filter(content => !content.startsWith('bob'))
  await until(() => bob.of('new_message').length >= othersSent.length, 'everything came')
  expect(bob.of('new_message').map(({ message }) => message.content)).toEqual(othersSent)
  const ids = daves.events().flatMap(block => block.id ?? [])
  expect(ids).toEqual(ids.map((_, i) => ids[0]! + i))

  // A PUBACK delivers; a stream does not, until its reader says so.
  const [, last] = (await carol.getMessages({ conversation_id: id, limit: 2 })).messages as any[]
  const statuses = async () => {
    const { body } = await dave<any>('GET', `/messages/${last.id}/status`)
    return [body.status, ...body.recipients.map((one: any) => `${one.user_id} ${one.status}`).sort()]
  }
  await until(async () => (await statuses()).includes('alice delivered'), 'the phone has acknowledged')
  await until(async () => (await statuses()).includes('bob delivered'), 'a pong has acknowledged')
  expect(await statuses()).toEqual(['sent', 'alice delivered', 'bob delivered', 'carol sent'])
  const asCarol = restClient(echo.api, carolsToken)
  const { body: { last_seq } } = await asCarol<any>('GET', '/inbox?limit=1')
  await asCarol('POST', '/inbox/ack', { seq: last_seq }, { 'x-device-id': 'backend' })
  await asCarol('POST', `/messages/${last.id}/read`)
  expect(await statuses()).toEqual(['delivered', 'alice delivered', 'bob delivered', 'carol read'])
  await until(() => daves.events().some(({ event, data }) =>
    event === 'message_read' && data.reader_id === 'carol'), 'dave is told')
})
