/** StreamMessages with a real client: what a stream tells, how it ends, what one that is not read costs. */
import { connect, constants } from 'node:http2'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { MESSAGE_SERVICE } from '../../../api/grpc/definition.ts'
import { MAX_FEEDS_PER_USER } from '../../../messaging/deliver/feeds.ts'
import { openEvents } from '../../support/event-stream.ts'
import { grpcClient, type FollowedStream, type GrpcClient } from '../../support/grpc-client.ts'
import { until } from '../../support/until.ts'
import { type Caller, direct, send, startTestApi, type TestApi } from '../api.ts'

let api: TestApi
let alice: Caller
let bob: Caller
let conversation: string

beforeAll(async () => {
  api = await startTestApi()
  alice = await api.user('alice')
  bob = await api.user('bob')
  conversation = await direct(alice, bob)
})
afterAll(() => api[Symbol.asyncDispose]())

const clientOf = (caller: Caller, server = api): GrpcClient => grpcClient(server.grpcPort, caller.token)
const count = (stream: FollowedStream, n: number) =>
  until(() => stream.events.length >= n, `${n} events came`)
const ended = (stream: FollowedStream) =>
  until(() => stream.end, 'the stream ends')
const gone = (server: TestApi, caller: Caller) =>
  until(() => [...server.messaging.connections.of(caller.id)].length === 0, 'the stream is forgotten')

test('a stream tells what happens to messages from its first metadata on', async () => {
  await send(alice, conversation, 'before')
  using client = clientOf(bob)
  const stream = await client.streamMessages({ user_id: bob.id }, { metadata: { 'x-request-id': 'trace-2' } })
  expect(stream.metadata.get('x-request-id')).toEqual(['trace-2'])
  const { body: message } = await send(alice, conversation, 'one')
  await alice.patch(`/messages/${message.id}`, { content: 'two' })
  await alice.put(`/messages/${message.id}/reactions/%F0%9F%91%8D`)
  await bob.post(`/messages/${message.id}/read`)
  await alice.delete(`/messages/${message.id}`)
  const { body: own } = await send(bob, conversation, 'mine')
  await count(stream, 4)
  const received = {
    id: message.id,
    conversation_id: conversation,
    sender_user_id: alice.id,
    content: 'one',
    message_type: 'text',
    status: 'sent',
    created_at: Date.parse(message.created_at),
    mentions: []
  }
  expect(stream.events.map(({ type }) => type))
    .toEqual(['new_message', 'message_edited', 'message_deleted', 'message_sent'])
  expect(stream.events[0]!.message).toEqual(received)
  expect(stream.events[1]!.message).toMatchObject({ id: message.id, content: 'two' })
  expect(stream.events[2]!.message).toMatchObject({
    id: message.id, conversation_id: conversation, content: '', sender_user_id: ''
  })
  expect(stream.events[3]!.message).toMatchObject({ id: own.id, content: 'mine', sender_user_id: bob.id })
})

test('a stream delivers nothing; an administrator sees it and ends it', async () => {
  const root = await api.user('root', { claims: { scope: 'admin' } })
  const eve = await api.user('eve')
  const id = await direct(alice, eve)
  using client = clientOf(eve)
  const metadata = { 'x-device-id': 'backend-1' }
  const stream = await client.streamMessages({ user_id: eve.id }, { metadata })
  const { body: message } = await send(alice, id, 'only looked at')
  await count(stream, 1)
  expect((await alice.get(`/messages/${message.id}/status`)).body.status).toBe('sent')
  expect((await alice.get(`/users/${eve.id}/presence`)).body.online).toBe(true)
  expect((await root.get(`/admin/users/${eve.id}/sessions`)).body.sessions).toMatchObject([{
    door: 'grpc', device_id: 'backend-1', delivery: 'live', address: '127.0.0.1'
  }])
  await root.post(`/admin/users/${eve.id}/disconnect`)
  expect(await ended(stream)).toMatchObject({ status: 'ABORTED', code: 'stream_ended' })
  await gone(api, eve)
})

/** Opens a stream and reads nothing of it, not even its head, until it is resumed. */
function openUnread (server: TestApi, caller: Caller) {
  const session = connect(`http://127.0.0.1:${server.grpcPort}`)
  session.on('error', () => {})
  const stream = session.request({
    ':method': 'POST',
    ':path': '/message.MessageService/StreamMessages',
    'content-type': 'application/grpc',
    te: 'trailers',
    authorization: `Bearer ${caller.token}`
  })
  const request = MESSAGE_SERVICE.StreamMessages.requestSerialize({ user_id: caller.id })
  const head = Buffer.alloc(5)
  head.writeUInt32BE(request.length, 1)
  stream.end(Buffer.concat([head, request]))
  stream.pause().on('error', () => {})
  return { session, stream }
}

test('a stream whose client cancels, goes or lets its deadline pass is forgotten', async () => {
  const kim = await api.user('kim')
  const streams = () => [...api.messaging.feeds.all()].filter(({ userId }) => userId === kim.id).length
  using client = clientOf(kim)
  const cancelled = await client.streamMessages({ user_id: kim.id })
  const { session } = openUnread(api, kim)
  await until(() => streams() === 2, 'both are open')
  cancelled.call.cancel()
  await until(() => streams() === 1, 'the cancelled one is forgotten')
  // Where the machine is slow the first one is too late to open.
  const open = (): Promise<FollowedStream> =>
    client.streamMessages({ user_id: kim.id }, { deadline: Date.now() + 300 })
  const late = await until(() => open().catch(() => undefined), 'it opens')
  expect(await ended(late)).toMatchObject({ status: 'DEADLINE_EXCEEDED' })
  await until(() => streams() === 1, 'the late one is forgotten')
  session.destroy()
  await gone(api, kim)
})

test('streams over gRPC and server-sent events count together: one more ends the oldest', async () => {
  const lea = await api.user('lea')
  using client = clientOf(lea)
  const oldest = await client.streamMessages({ user_id: lea.id })
  for (let i = 1; i < MAX_FEEDS_PER_USER; i++) await client.streamMessages({ user_id: lea.id })
  expect(oldest.end).toBe(undefined)
  using reader = await openEvents(`${api.url}/api/v1`, lea.token)
  expect(reader.status).toBe(200)
  expect(await ended(oldest)).toMatchObject({ status: 'ABORTED', code: 'stream_ended' })
})

test('a stream that is not read gets no more than its buffers hold, and they are dropped with it', async () => {
  await using other = await startTestApi({ stalledMs: 500 })
  const [ann, ben] = [await other.user('ann'), await other.user('ben')]
  const id = await direct(ann, ben)
  const { session, stream } = openUnread(other, ben)
  const feed = await until(() => [...other.messaging.feeds.all()][0], 'the stream is open')
  const large = 'x'.repeat(10_000)
  await Promise.all(Array.from({ length: 400 }, () => send(ann, id, large)))
  await gone(other, ben)
  expect(feed.pump.sentSeq).toBeLessThan(300)
  await until(() => stream.rstCode === constants.NGHTTP2_CANCEL, 'it is reset')
  session.destroy()
})

test('a server that stops ends its streams with UNAVAILABLE and finishes its calls', async () => {
  await using other = await startTestApi()
  const [ann, ben] = [await other.user('ann'), await other.user('ben')]
  const id = await direct(ann, ben)
  using client = clientOf(ann, other)
  const stream = await client.streamMessages({ user_id: ann.id })
  const { sends } = other.messaging
  const sendNow = sends.send
  let release: (() => void) | undefined
  sends.send = async (...args) => {
    await new Promise<void>(resolve => { release = resolve })
    return await sendNow(...args)
  }
  const sent = client.sendMessage({
    conversation_id: id, sender_user_id: ann.id, content: 'the last one', message_type: 'text'
  })
  await until(() => release !== undefined, 'a call is under way')
  const stopped = other.stop()
  expect(await ended(stream)).toMatchObject({ status: 'UNAVAILABLE', code: 'unavailable' })
  release!()
  expect((await sent).message.content).toBe('the last one')
  await stopped
  expect(other.messaging.connections.count()).toBe(0)
})
