/** Users whose ids are subjects of an identity provider or e-mail addresses, at every door and over Redis. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startCluster, type TestCluster } from '../support/cluster.ts'
import { token, tokenWith, type EchoProcess } from '../support/echo-process.ts'
import { openEvents } from '../support/event-stream.ts'
import { grpcClient } from '../support/grpc-client.ts'
import { connectJson } from '../support/json-device.ts'
import { at, command, contents, direct, phone, pushesOf, registerToken, say } from '../support/nodes.ts'
import { restClient } from '../support/rest.ts'
import { until } from '../support/until.ts'

const SUBJECT = 'auth0|64f1c0ffee'
const EMAIL = 'ann.lee@example.com'
const BOTH = 'waad|x_y|carol@example.com'

let cluster: TestCluster
let broker: EchoProcess
let api: EchoProcess
let bridge: EchoProcess

beforeAll(async () => {
  cluster = await startCluster()
  const limits = { RATE_LIMIT_REQUESTS: '1000', RATE_LIMIT_SENDS: '1000' }
  const started = await Promise.all(['broker', 'api', 'push-bridge'].map(role => cluster.start(role, limits)))
  ;[broker, api, bridge] = started as [EchoProcess, EchoProcess, EchoProcess]
})
afterAll(async () => { await cluster?.[Symbol.asyncDispose]() })

test('they send to each other through MQTT, JSON, gRPC and REST, and hear it at every door', async () => {
  const rest = await at(api, SUBJECT)
  const { status, body: { id } } = await rest('POST', '/conversations', {
    type: 'group', participant_ids: [EMAIL, BOTH], title: 'Ids'
  })
  expect(status).toBe(201)
  await using subject = await phone(broker, SUBJECT, { subscribe: [`user/${SUBJECT}/#`] })
  await using email = await connectJson(broker.wsPort, { token: await token(EMAIL), deviceId: 'laptop' })
  using both = grpcClient(api.grpcPort, await token(BOTH))
  const stream = await both.streamMessages({ user_id: BOTH })
  using reader = await openEvents(api.api, await token(BOTH))

  const draft = (content: string) => ({ conversation_id: id, content, message_type: 'text' })
  await command(subject, SUBJECT, { type: 'send_message', client_message_id: '1', ...draft('by MQTT') })
  email.send({ type: 'send_message', client_message_id: '1', ...draft('by JSON') })
  await until(() => email.replies.length > 0, 'the answer came')
  expect(email.replies[0]).toMatchObject({ type: 'accepted', message: { sender_user_id: EMAIL } })
  await both.sendMessage({ sender_user_id: BOTH, ...draft('by gRPC') })
  const { body: sent } = await rest('POST', '/messages', {
    ...draft('by REST'),
    mentions: [{ user_id: EMAIL, offset: 0, length: 2 }, { user_id: BOTH, offset: 3, length: 4 }]
  })
  expect(sent.mentions.map((mention: { user_id: string }) => mention.user_id)).toEqual([EMAIL, BOTH])

  const sender = [['by MQTT', SUBJECT], ['by JSON', EMAIL], ['by gRPC', BOTH], ['by REST', SUBJECT]]
  const said = (messages: any[]): unknown[] =>
    messages.map(message => [message.content, message.sender_user_id])
  const seen = {
    MQTT: () => said(subject.events.flatMap(({ message }) => message ?? [])),
    gRPC: () => said(stream.events.map(({ message }) => message)),
    SSE: () => said(reader.events().flatMap(({ data }) => data.message ?? []))
  }
  for (const [door, messages] of Object.entries(seen)) {
    await until(() => messages().length === sender.length, `${door} brought everything`)
    expect(messages(), door).toEqual(sender)
  }
  await until(() => email.of('new_message').length === 3, 'JSON brought what others sent')

  // Receipts of the reader come back to the sender by the reader's id.
  await restClient(api.api, await token(EMAIL))('POST', `/messages/${sent.id}/read`)
  await until(() => subject.events.some(({ type, reader_id: readerId }) =>
    type === 'message_read' && readerId === EMAIL), 'the sender is told who has read')
  const { body } = await rest('GET', `/messages/${sent.id}/status`)
  expect(body.recipients.map((recipient: { user_id: string }) => recipient.user_id)).toEqual([EMAIL, BOTH])
})

test('paths name them percent-encoded or as they are', async () => {
  const rest = await at(api, SUBJECT)
  await direct(api, SUBJECT, EMAIL)
  const team = (await rest('POST', '/conversations', {
    type: 'group', participant_ids: [EMAIL, BOTH], title: 'Paths'
  })).body.id
  for (const path of [encodeURIComponent(EMAIL), EMAIL, EMAIL.replace('@', '%40')]) {
    expect((await rest('GET', `/users/${path}`)).body.id, path).toBe(EMAIL)
    expect((await rest('GET', `/users/${path}/presence`)).body.user_id, path).toBe(EMAIL)
    const participant = `/conversations/${team}/participants/${path}`
    expect((await rest('PATCH', participant, { role: 'admin' })).status, path).toBe(204)
    expect((await rest('PUT', `/blocks/${path}`)).status, path).toBe(204)
  }
  for (const path of [encodeURIComponent(BOTH), BOTH]) {
    expect((await rest('PUT', `/blocks/${path}`)).status, path).toBe(204)
  }
  const { body: first } = await rest('GET', '/blocks?limit=1')
  expect([first.blocks[0].user_id, first.next_cursor]).toEqual([EMAIL, EMAIL])
  const next = encodeURIComponent(first.next_cursor)
  const { body: second } = await rest('GET', `/blocks?limit=1&cursor=${next}`)
  expect(second.blocks[0].user_id).toBe(BOTH)
  for (const user of [EMAIL, BOTH]) await rest('DELETE', `/blocks/${encodeURIComponent(user)}`)

  const { body: page } = await rest('GET', `/conversations/${team}/participants?limit=2`)
  const { body: last } = await rest('GET', `/conversations/${team}/participants?cursor=${page.next_cursor}`)
  expect([...page.participants, ...last.participants].map(({ user_id: userId }) => userId))
    .toEqual([EMAIL, SUBJECT, BOTH])
  const removed = await rest('DELETE', `/conversations/${team}/participants/${encodeURIComponent(BOTH)}`)
  expect(removed.status).toBe(204)
})

test('typing, presence and pushes name them', async () => {
  const [watcher, watched] = ['auth0|watcher', 'dora@example.com'] as const
  const conversation = await direct(api, watcher, watched)
  await using watch = await phone(broker, watcher, { subscribe: [`user/${watcher}/live`] })
  const told = (type: string): any =>
    watch.others.find(({ payload }) => payload.type === type && payload.user_id === watched)?.payload
  await using device = await phone(broker, watched)
  await until(() => device.client.connected && told('presence')?.online, 'the other is seen online')
  const { body } = await (await at(api, watcher))('GET', `/users/${encodeURIComponent(watched)}/presence`)
  expect(body).toMatchObject({ user_id: watched, online: true })
  const rest = await at(api, watched)
  await rest('POST', `/conversations/${conversation}/typing`, { is_typing: true })
  await until(() => told('typing'), 'the other is seen typing')

  await registerToken(api, BOTH)
  await say(rest, await direct(api, watched, BOTH), 'wake up')
  await until(() => pushesOf(bridge, BOTH).length > 0, 'the phone is woken')
})

test('an admin reaches them, and is told where an erasure is to be found', async () => {
  const admin = restClient(api.api, await tokenWith('root', { scope: 'admin' }))
  await using email = await phone(broker, EMAIL, { deviceId: 'tablet' })
  const path = `/admin/users/${encodeURIComponent(EMAIL)}`
  const { body } = await admin('GET', `${path}/sessions`)
  expect(body.sessions.map((session: { device_id: string }) => session.device_id)).toContain('tablet')
  const { body: { entries } } = await admin('GET', `/admin/audit-log?user_id=${encodeURIComponent(EMAIL)}`)
  expect(entries[0]).toMatchObject({ action: 'read_sessions', subject_user_id: EMAIL })
  let closed = false
  email.client.on('close', () => { closed = true })
  expect((await admin('POST', `${path}/disconnect`)).body.ended).toBeGreaterThan(0)
  await until(() => closed, 'the connection has ended')

  await (await at(api, 'auth0|gone'))('GET', '/users/me')
  const { status, headers } = await admin('POST', '/admin/users/auth0%7Cgone/erase')
  expect([status, headers.get('location')]).toEqual([202, '/api/v1/admin/users/auth0%7Cgone/erasure'])
  const found = await admin('GET', headers.get('location')!.replace('/api/v1', ''))
  expect(found.body.user_id).toBe('auth0|gone')
})

test('ids that run into each other when they are put together stay apart', async () => {
  const conversation = await direct(api, 'a', 'b|c')
  const other = await direct(api, 'a|b', 'c')
  expect(other).not.toBe(conversation)
  expect(await direct(api, 'b|c', 'a')).toBe(conversation)

  // The same texts, split between user and device in other places.
  await using one = await phone(broker, 'a', { deviceId: 'b|c', subscribe: ['user/a/inbox'] })
  await using two = await phone(broker, 'a|b', { deviceId: 'c', subscribe: ['user/a|b/inbox'] })
  await using three = await phone(broker, 'a', { deviceId: 'b c' })
  await say(await at(api, 'b|c'), conversation, 'for a')
  await say(await at(api, 'c'), other, 'for a|b')
  const devices = [one, two, three]
  await until(() => devices.every(device => contents(device).length > 0), 'each got one')
  expect(devices.map(contents)).toEqual([['for a'], ['for a|b'], ['for a']])
  expect(devices.map(({ client }) => client.connected)).toEqual([true, true, true])
})
