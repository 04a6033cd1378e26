/** Commands: decided before their PUBACK, answered on `replies`, and refused without a trace. */
import { randomUUID } from 'node:crypto'
import { expect, test, vi } from 'vitest'
import { unavailable } from '../../../core/errors.ts'
import {
  publishPacket, startTestBroker, subscribePacket, type Device, type TestBroker
} from '../../support/broker.ts'
import { until } from '../../support/until.ts'

const OUTBOX = 'user/ann/outbox'
const send = (conversation_id: string, more: object = {}): Record<string, unknown> =>
  ({
    type: 'send_message',
    conversation_id,
    content: 'hello',
    message_type: 'text',
    client_message_id: randomUUID(),
    ...more
  })

/** What is said to a command. */
async function ask (device: Device, command: object | string | Buffer): Promise<any> {
  const n = device.replies.length
  await device.command(command)
  return await until(() => device.replies[n], 'the reply came')
}

const contents = async (broker: TestBroker): Promise<string[]> =>
  (await broker.sql('select content from messages order by conversation_id, seq')).map(row => row.content)

test('a message is in the database when its PUBACK comes, and the reply says which it is', async () => {
  await using broker = await startTestBroker()
  const conversation = await broker.direct('bob', 'ann')
  const ann = await broker.device('ann', { subscribe: ['user/ann/replies'] })
  await ann.command(send(conversation, { client_message_id: 'c1', request_id: 'r1' }))
  const [row] = await broker.sql('select id from messages')
  expect(ann.replies).toEqual([{
    type: 'accepted',
    client_message_id: 'c1',
    request_id: 'r1',
    message: expect.objectContaining({
      id: row.id, content: 'hello', status: 'sent', sender_user_id: 'ann', seq: 1
    })
  }])
  expect(ann.received.at(-1)!.qos).toBe(1)
})

test('a repeated client_message_id gives the same message', async () => {
  await using broker = await startTestBroker()
  const conversation = await broker.direct('bob', 'ann')
  const ann = await broker.device('ann', { subscribe: ['user/ann/replies'] })
  const command = send(conversation)
  const first = await ask(ann, command)
  expect((await ask(ann, command)).message.id).toBe(first.message.id)
  expect(await ask(ann, { ...command, content: 'something else' })).toMatchObject({
    type: 'rejected', error: { code: 'client_message_id_reused' }
  })
  expect(await contents(broker)).toEqual(['hello'])
})

test('a command sends what its user uploaded, and every recipient of the message can name it', async () => {
  await using broker = await startTestBroker()
  const conversation = await broker.direct('bob', 'ann')
  const attachment = { id: randomUUID(), content_type: 'image/png', file_name: 'beach.png', size: 70 }
  await broker.sql(`insert into attachments (id, owner_user_id, content_type, file_name, size, released_at)
    values ($1, 'ann', $2, $3, $4, now() + interval '1 hour')`, ...Object.values(attachment))
  const [ann, bob] = [
    await broker.device('ann', { subscribe: ['user/ann/replies'] }),
    await broker.device('bob', { subscribe: ['user/bob/inbox'] })
  ]
  const command = send(conversation, { attachment_ids: [attachment.id] })
  expect(await ask(ann, command)).toMatchObject({ type: 'accepted', message: { attachments: [attachment] } })
  const told = await until(() => bob.events.find(event => event.type === 'new_message'), 'bob heard of it')
  expect(told.message.attachments).toEqual([attachment])
  expect(await broker.sql('select released_at from attachments')).toEqual([{ released_at: null }])
  expect((await ask(ann, command)).message.attachments).toEqual([attachment])
  expect(await ask(ann, { ...command, attachment_ids: [] })).toMatchObject({
    type: 'rejected', error: { code: 'client_message_id_reused' }
  })
})

test('only the connection that sent a command is answered', async () => {
  await using broker = await startTestBroker()
  const conversation = await broker.direct('bob', 'ann')
  const [phone, tablet] = await Promise.all(['phone', 'tablet'].map(deviceId =>
    broker.device('ann', { deviceId, subscribe: ['user/ann/#'] })))
  await ask(phone!, send(conversation))
  await until(
    () => [phone!, tablet!].every(device => device.events.some(event => event.type === 'message_sent')),
    'both learned of the message'
  )
  expect(tablet!.replies).toEqual([])
})

test('a command that is refused for good is answered, acknowledged and changes nothing', async () => {
  await using broker = await startTestBroker()
  const conversation = await broker.direct('bob', 'ann')
  const elsewhere = await broker.group('bob', 'ann')
  const left = await broker.group('bob', 'ann')
  await broker.messaging.conversations.removeParticipant('ann', left, 'ann')
  const silenced = await broker.group('bob', 'ann')
  await broker.messaging.conversations.changeParticipant('bob', silenced, 'ann', { can_send_messages: false })
  const foreign = await broker.direct('bob', 'carl')
  const otherMessage = await broker.say('bob', elsewhere, 'said elsewhere')
  const foreignMessage = await broker.say('bob', foreign, 'to carl')
  const leftMessage = await broker.say('bob', left, 'after ann left')
  const before = await broker.sql('select id, inbox_seq, acked_seq from users order by id')
  const known = await contents(broker)
  const ann = await broker.device('ann', { subscribe: ['user/ann/replies'] })

  const valid = send(conversation)
  const refused: Array<[string, object | string | Buffer, string]> = [
    ['no JSON', '{"type":', 'malformed_json'],
    ['nothing', Buffer.alloc(0), 'malformed_json'],
    ['not UTF-8', Buffer.concat([
      Buffer.from('{"type":"send_message","content":"'), Buffer.from([0xC3, 0x28]), Buffer.from('"}')
    ]), 'malformed_json'],
    ['null', 'null', 'unknown_command'],
    ['a list', '[]', 'unknown_command'],
    ['an unknown type', { ...valid, type: 'shout' }, 'unknown_command'],
    ['a type every object has', { ...valid, type: 'constructor' }, 'unknown_command'],
    ['no client_message_id', { ...valid, client_message_id: undefined }, 'invalid_request'],
    ['an empty client_message_id', { ...valid, client_message_id: '' }, 'invalid_request'],
    ['an unknown field', { ...valid, urgent: true }, 'invalid_request'],
    ['an unknown message_type', { ...valid, message_type: 'smell' }, 'invalid_request'],
    ['content of the wrong type', { ...valid, content: 7 }, 'invalid_request'],
    ['a conversation_id that is none', { ...valid, conversation_id: 'x' }, 'invalid_request'],
    ['empty content', { ...valid, content: '' }, 'content_empty'],
    ['too much content', { ...valid, content: '🙂'.repeat(10_001) }, 'content_too_long'],
    ['U+0000', { ...valid, content: 'a\0b' }, 'invalid_text'],
    ['a lone surrogate', { ...valid, content: 'a\uD800b' }, 'invalid_text'],
    ['U+0000 in the client_message_id', { ...valid, client_message_id: 'a\0b' }, 'invalid_text'],
    ['a mention outside', {
      ...valid, mentions: [{ user_id: 'bob', offset: 3, length: 3 }]
    }, 'mention_outside_content'],
    ['a mention of no user id', {
      ...valid, mentions: [{ user_id: 'b b', offset: 0, length: 3 }]
    }, 'invalid_user_id'],
    ['an unknown conversation', { ...valid, conversation_id: randomUUID() }, 'conversation_not_found'],
    ['a foreign conversation', { ...valid, conversation_id: foreign }, 'conversation_not_found'],
    ['a conversation that was left', { ...valid, conversation_id: left }, 'not_a_participant'],
    ['a conversation one may not send to', { ...valid, conversation_id: silenced }, 'sending_not_allowed'],
    ['a reply to a message of another conversation', {
      ...valid, reply_to_id: otherMessage.id
    }, 'invalid_reply'],
    ['a reply to no message', { ...valid, reply_to_id: randomUUID() }, 'invalid_reply'],
    ['an unknown attachment', { ...valid, attachment_ids: [randomUUID()] }, 'unknown_attachment'],
    ['reading an unknown message', { type: 'read_receipt', message_id: randomUUID() }, 'message_not_found'],
    ['reading a foreign message', {
      type: 'read_receipt', message_id: foreignMessage.id
    }, 'message_not_found'],
    ['reading what came after one left', {
      type: 'read_receipt', message_id: leftMessage.id
    }, 'not_a_participant'],
    ['a read_at that is no time', {
      type: 'read_receipt', message_id: otherMessage.id, read_at: 'yesterday'
    }, 'invalid_request'],
    ['typing in a foreign conversation', {
      type: 'typing', conversation_id: foreign, is_typing: true
    }, 'conversation_not_found'],
    ['typing in a conversation that was left', {
      type: 'typing', conversation_id: left, is_typing: true
    }, 'not_a_participant'],
    ['acknowledging what is not there', { type: 'ack', seq: 1_000 }, 'seq_beyond_end'],
    ['acknowledging backwards', { type: 'ack', seq: -1 }, 'invalid_request'],
    ['a token that does not hold', { type: 'auth', token: 'x' }, 'invalid_token'],
    ['a token of another user', { type: 'auth', token: await broker.token('bob') }, 'other_user']
  ]
  for (const [name, command, code] of refused) {
    const reply = await ask(ann, command)
    expect([name, reply.type, reply.error?.code, typeof reply.error?.detail]).toEqual([
      name, 'rejected', code, 'string'
    ])
    const id = (command as { client_message_id?: string }).client_message_id
    if (id) expect([name, reply.client_message_id]).toEqual([name, id])
  }
  expect(await contents(broker)).toEqual(known)
  expect(await broker.sql('select id, inbox_seq, acked_seq from users order by id')).toEqual(before)
  expect((await ask(ann, valid)).type).toBe('accepted')
  expect((await ask(ann, send(conversation, { content: '🙂'.repeat(10_000) }))).type).toBe('accepted')
})

test('a rejected command echoes its request_id', async () => {
  await using broker = await startTestBroker()
  const ann = await broker.device('ann', { subscribe: ['user/ann/replies'] })
  expect(
    await ask(ann, { type: 'typing', conversation_id: randomUUID(), is_typing: true, request_id: 'r1' })
  ).toMatchObject({ type: 'rejected', request_id: 'r1' })
  expect(await ask(ann, { type: 'nothing', request_id: 'r2' })).toMatchObject({
    type: 'rejected', request_id: 'r2'
  })
})

test('a read receipt takes ISO 8601 and epoch milliseconds, and keeps the client\'s time', async () => {
  await using broker = await startTestBroker()
  const conversation = await broker.direct('bob', 'ann')
  const ann = await broker.device('ann')
  const clientTimes = {
    '2024-05-06T07:08:09.010Z': 1_714_979_289_010,
    '2024-05-06T09:08:09+02:00': 1_714_979_289_000,
    1714979289010: 1_714_979_289_010
  }
  for (const [readAt, expected] of Object.entries(clientTimes)) {
    const message = await broker.say('bob', conversation, 'hello')
    await ann.command({
      type: 'read_receipt', message_id: message.id, read_at: /^\d+$/.test(readAt) ? Number(readAt) : readAt
    })
    expect(await broker.status('bob', message)).toBe('read')
    const [mark] = await broker.sql(
      'select client_at, at from delivery_status where status = \'read\' and up_to_seq = $1', message.seq
    )
    expect(mark.client_at.getTime()).toBe(expected)
    expect(Math.abs(mark.at.getTime() - Date.now())).toBeLessThan(60_000)
  }
})

test('a read receipt whose time no calendar has does no harm', async () => {
  await using broker = await startTestBroker()
  const conversation = await broker.direct('bob', 'ann')
  const ann = await broker.device('ann')
  for (const read_at of ['2016-12-31T23:59:60Z', '0000-01-01T00:00:00Z', 8.64e15]) {
    const message = await broker.say('bob', conversation, 'hello')
    await ann.command({ type: 'read_receipt', message_id: message.id, read_at })
    expect(await broker.status('bob', message)).toBe('read')
  }
})

test('typing is told to the other participants only', async () => {
  await using broker = await startTestBroker()
  const group = await broker.group('bob', 'ann', 'carl')
  const [ann, bob, carl, dan] = await Promise.all(['ann', 'bob', 'carl', 'dan'].map(id =>
    broker.device(id, { subscribe: [`user/${id}/live`] })))
  await broker.direct('dan', 'ann')
  const typing = (device: typeof ann, userId: string): any[] =>
    device!.on(`user/${userId}/live`).filter(({ type }) => type === 'typing')
  await ann!.command({ type: 'typing', conversation_id: group.toUpperCase(), is_typing: true })
  await bob!.command({ type: 'typing', conversation_id: group, is_typing: false })
  await until(() => typing(carl, 'carl').length === 2, 'carl learned of both')
  expect(typing(carl, 'carl')).toMatchObject([
    { conversation_id: group, user_id: 'ann', is_typing: true, expires_at: expect.stringMatching(/Z$/) },
    { conversation_id: group, user_id: 'bob', is_typing: false }
  ])
  await until(
    () => typing(ann, 'ann').length === 1 && typing(bob, 'bob').length === 1, 'each learned of the other'
  )
  expect(typing(ann, 'ann')[0].user_id).toBe('bob')
  expect(typing(bob, 'bob')[0].user_id).toBe('ann')
  expect(typing(dan, 'dan')).toEqual([])
})

test('an `ack` moves the cursor, and nothing before it is sent again', async () => {
  await using broker = await startTestBroker()
  const conversation = await broker.direct('bob', 'ann')
  const first = await broker.device('ann')
  await first.subscribe('user/ann/live')
  for (const content of ['one', 'two', 'three']) await broker.say('bob', conversation, content)
  await first.command({ type: 'ack', seq: 3 })
  await first.subscribe('user/ann/inbox')
  await until(() => first.events.length === 1, 'the rest came')
  expect(first.events[0]).toMatchObject({ seq: 4, message: { content: 'three' } })
})

test('a connection ends after its token, unless a fresh token of the same user came', async () => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] })
  try {
    let passedMs = 0
    await using broker = await startTestBroker({ now: () => Date.now() + passedMs })
    const [ann, bob] = await Promise.all(['ann', 'bob'].map(id =>
      broker.device(id, { expires: '1h', subscribe: [`user/${id}/replies`] })))
    const fresh = await broker.token('ann', { expires: '3h' })
    expect(await ask(ann!, { type: 'auth', token: fresh, request_id: 'r1' })).toEqual({
      type: 'accepted', request_id: 'r1'
    })
    vi.advanceTimersByTime(30_000)
    passedMs = 3_601_000
    expect([ann!.client.connected, bob!.client.connected]).toEqual([true, true])
    vi.advanceTimersByTime(30_000)
    await until(() => !bob!.client.connected, 'the other connection closes')
    expect(await ask(ann!, { type: 'auth', token: fresh, request_id: 'r2' })).toMatchObject({
      type: 'accepted'
    })
  } finally {
    vi.useRealTimers()
  }
})

test('PUBACKs keep the order of the commands', async () => {
  await using broker = await startTestBroker({
    replace: messaging => ({
      // The later a send comes, the sooner it is done.
      sends: {
        ...messaging.sends,
        send: async send => {
          for (let turns = 200 - 10 * Number(
            send.draft.content
          ); turns > 0; turns--) await new Promise(resolve => setImmediate(resolve))
          return await messaging.sends.send(send)
        }
      }
    })
  })
  const conversation = await broker.direct('bob', 'ann')
  const ann = await broker.rawDevice('ann')
  const n = 15
  ann.packet(subscribePacket(1, 'user/ann/replies', 0))
  await ann.nth('suback', 1)
  for (let i = 1; i <= n; i++) {
    ann.packet(publishPacket(
      OUTBOX, JSON.stringify(send(conversation, { content: `${i}`, client_message_id: `c${i}` })), 1, i
    ))
  }
  await ann.nth('puback', n)
  expect(ann.of('puback').map(packet => packet.messageId)).toEqual(Array.from({ length: n }, (_, i) => i + 1))
  expect(ann.of('publish').map(packet => JSON.parse(packet.payload.toString()).client_message_id)).toEqual(
    Array.from({ length: n }, (_, i) => `c${i + 1}`)
  )
  expect(ann.received.filter(packet => packet.cmd === 'puback' || packet.cmd === 'publish').map(packet =>
    packet.cmd).slice(0, 2)).toEqual(['publish', 'puback'])
})

test('messages that one client sends without waiting keep their order', async () => {
  await using broker = await startTestBroker()
  const conversation = await broker.direct('bob', 'ann')
  const ann = await broker.rawDevice('ann')
  const n = 200
  for (let i = 1; i <= n; i++) {
    ann.packet(publishPacket(
      OUTBOX, JSON.stringify(send(conversation, { content: `${i}` })), 1, i
    ))
  }
  await ann.nth('puback', n)
  expect(await contents(broker)).toEqual(Array.from({ length: n }, (_, i) => `${i + 1}`))
})

test('a command that cannot be decided is not acknowledged, and its connection closes', async () => {
  let away = true
  await using broker = await startTestBroker({
    replace: ({ sends }) => ({
      sends: {
        ...sends,
        send: async send => {
          if (away) throw unavailable('away')
          return await sends.send(send)
        }
      }
    })
  })
  const conversation = await broker.direct('bob', 'ann')
  const command = JSON.stringify(send(conversation))
  for (const qos of [1, 2] as const) {
    const ann = await broker.rawDevice('ann')
    ann.packet(publishPacket(OUTBOX, command, qos, 1))
    await until(() => ann.closed, 'the connection closes')
    expect(ann.received.map(packet => packet.cmd)).toEqual(['connack'])
  }
  away = false
  const again = await broker.device('ann', { subscribe: ['user/ann/replies'] })
  expect(await ask(again, command)).toMatchObject({ type: 'accepted' })
  expect(await contents(broker)).toEqual(['hello'])
})

test('while the database is away nothing is acknowledged; a resent command is stored once', async () => {
  await using broker = await startTestBroker()
  const conversation = await broker.direct('bob', 'ann')
  const message = await broker.say('bob', conversation, 'to read')
  const commands = [send(conversation), {
    type: 'read_receipt', message_id: message.id
  }, { type: 'ack', seq: 1 }, { type: 'typing', conversation_id: conversation, is_typing: true }]
  const clients = await Promise.all(commands.map((_, i) => broker.rawDevice('ann', { clientId: `raw ${i}` })))
  const restore = await broker.cutDatabase()
  clients.forEach((client, i) => client.packet(publishPacket(OUTBOX, JSON.stringify(commands[i]), 1, 1)))
  for (const client of clients) await until(() => client.closed, 'the connection closes')
  expect(clients.flatMap(client => client.of('puback'))).toEqual([])
  await restore()
  const again = await broker.device('ann', { subscribe: ['user/ann/replies'] })
  for (const command of commands) await again.command(command)
  expect(await contents(broker)).toEqual(['to read', 'hello'])
  expect(await broker.status('bob', message)).toBe('read')
})
