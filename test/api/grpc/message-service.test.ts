/** The methods of the gRPC door with a real client: what they answer, and how they refuse. */
import { Client, credentials, Metadata, status, type ServiceError } from '@grpc/grpc-js'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { ErrorInfo, MESSAGE_SERVICE, RpcStatus } from '../../../api/grpc/definition.ts'
import { callsTotal } from '../../../api/grpc/metrics.ts'
import { grpcClient, refused, type GrpcClient } from '../../support/grpc-client.ts'
import { runSql } from '../../support/database.ts'
import { signToken } from '../../support/tokens.ts'
import { until } from '../../support/until.ts'
import { type Caller, direct, group, ISSUER, send, startTestApi, type TestApi } from '../api.ts'

let api: TestApi
let alice: Caller
let bob: Caller
let conversation: string
let client: GrpcClient

beforeAll(async () => {
  api = await startTestApi()
  alice = await api.user('alice')
  bob = await api.user('bob')
  conversation = await direct(alice, bob)
  client = grpcClient(api.grpcPort, alice.token)
})
afterAll(async () => {
  client[Symbol.dispose]()
  await api[Symbol.asyncDispose]()
})

const draft = (more: object = {}) => ({
  conversation_id: conversation, sender_user_id: alice.id, content: 'Hello', message_type: 'text', ...more
})
const outcome = async (call: Promise<unknown>): Promise<unknown[]> => {
  const { status, code } = await refused(call)
  return [status, code]
}

test('a message sent over gRPC is the one that everybody else gets', async () => {
  const { body: first } = await send(bob, conversation, 'first')
  const mentions = [{ user_id: bob.id, offset: 6, length: 3 }]
  const { message } =
    await client.sendMessage(draft({ content: 'Hello Bob 😀', mentions, reply_to_id: first.id }))
  const [stored] = (await bob.get(`/conversations/${conversation}/messages?limit=1`)).body.messages
  expect(message).toEqual({
    id: stored.id,
    conversation_id: conversation,
    sender_user_id: alice.id,
    content: 'Hello Bob 😀',
    message_type: 'text',
    status: 'sent',
    created_at: Date.parse(stored.created_at),
    mentions
  })
  expect(stored).toMatchObject({ content: 'Hello Bob 😀', reply_to_id: first.id, mentions })
})

test('the same idempotency-key sends once, here and over REST', async () => {
  const key = { 'idempotency-key': 'k-1' }
  const { message } = await client.sendMessage(draft(), { metadata: key })
  expect((await client.sendMessage(draft(), { metadata: key })).message).toEqual(message)
  const over = await alice.post(
    '/messages', { conversation_id: conversation, content: 'Hello', message_type: 'text' }, key
  )
  expect([over.status, over.body.id, over.body.client_message_id]).toEqual([200, message.id, 'k-1'])
  expect(await outcome(client.sendMessage(draft({ content: 'Another' }), { metadata: key })))
    .toEqual(['ALREADY_EXISTS', 'client_message_id_reused'])
  expect(await outcome(client.sendMessage(draft(), { metadata: { 'idempotency-key': 'k'.repeat(129) } })))
    .toEqual(['INVALID_ARGUMENT', 'invalid_header'])
})

test('history comes in the pages of REST', async () => {
  const id = await group(alice, bob)
  for (let i = 0; i < 60; i++) await send(alice, id, `message ${i}`)
  const first = await client.getMessages({ conversation_id: id.toUpperCase() })
  expect([first.messages.length, first.has_more, first.messages[0].content])
    .toEqual([50, true, 'message 59'])
  const before_id = first.messages.at(-1).id
  const rest = await client.getMessages({ conversation_id: id, limit: 50, before_id })
  expect([rest.messages.length, rest.has_more, rest.messages.at(-1).content])
    .toEqual([10, false, 'message 0'])
  const [newest] = (await client.getMessages({ conversation_id: id, limit: 1 })).messages
  await alice.delete(`/messages/${newest.id}`)
  expect((await client.getMessages({ conversation_id: id, limit: 1 })).messages[0])
    .toEqual({ ...newest, content: '' })
})

test('a page of the largest messages ends early enough for a client with its defaults, and the next goes on', async () => {
  const id = await group(alice, bob)
  const mentions = Array.from({ length: 100 }, () => ({ user_id: bob.id, offset: 9_999, length: 1 }))
  const largest = { conversation_id: id, sender_user_id: alice.id, message_type: 'text', mentions }
  const sent: string[] = []
  for (let i = 0; i < 200; i++) {
    const { message } = await client.sendMessage({ ...largest, content: '😀'.repeat(10_000) })
    sent.unshift(message.id)
  }
  const ids: string[] = []
  let pages = 0
  for (let more = true; more; pages++) {
    const page = await client.getMessages({ conversation_id: id, limit: 200, before_id: ids.at(-1) })
    ids.push(...page.messages.map((message: { id: string }) => message.id))
    more = page.has_more
  }
  expect([ids, pages]).toEqual([sent, 3])
})

test('without a token that holds every method is UNAUTHENTICATED', async () => {
  const expired = await signToken(alice.id, { issuer: ISSUER, expires: 1 })
  for (const [token, code] of [
    [undefined, 'token_required'], ['nonsense', 'invalid_token'], [expired, 'invalid_token']
  ] as const) {
    using other = grpcClient(api.grpcPort, token)
    expect(await outcome(other.sendMessage(draft()))).toEqual(['UNAUTHENTICATED', code])
    expect(await outcome(other.getMessages({ conversation_id: conversation })))
      .toEqual(['UNAUTHENTICATED', code])
    expect((await other.streamMessages({ user_id: alice.id })).end).toMatchObject({
      status: 'UNAUTHENTICATED', code
    })
  }
})

test('a user speaks for nobody else', async () => {
  for (const claimed of [bob.id, '', undefined]) {
    expect(await outcome(client.sendMessage(draft({ sender_user_id: claimed }))))
      .toEqual(['PERMISSION_DENIED', 'other_user'])
    expect((await client.streamMessages({ user_id: claimed })).end).toMatchObject({
      status: 'PERMISSION_DENIED', code: 'other_user'
    })
  }
})

test('what is wrong with a request has a status and the code of REST', async () => {
  const foreign = await direct(bob, await api.user('carol'))
  const left = await group(bob, alice)
  await alice.delete(`/conversations/${left}/participants/${alice.id}`)
  const mention = (offset: number) => ({ user_id: bob.id, offset, length: 2 })
  const unknown = '01980f5c-6f1e-7cc3-98a4-1d2b3c4d5e6f'
  for (const [change, ...expected] of [
    [{ conversation_id: 'no id' }, 'INVALID_ARGUMENT', 'invalid_request'],
    [{ conversation_id: '' }, 'INVALID_ARGUMENT', 'invalid_request'],
    [{ conversation_id: unknown }, 'NOT_FOUND', 'conversation_not_found'],
    [{ conversation_id: foreign }, 'NOT_FOUND', 'conversation_not_found'],
    [{ conversation_id: left }, 'PERMISSION_DENIED', 'not_a_participant'],
    [{ content: '' }, 'INVALID_ARGUMENT', 'content_empty'],
    [{ content: 'x'.repeat(10_001) }, 'INVALID_ARGUMENT', 'content_too_long'],
    [{ content: 'a\0b' }, 'INVALID_ARGUMENT', 'invalid_text'],
    [{ message_type: '' }, 'INVALID_ARGUMENT', 'invalid_request'],
    [{ message_type: 'hologram' }, 'INVALID_ARGUMENT', 'invalid_request'],
    [{ reply_to_id: 'no id' }, 'INVALID_ARGUMENT', 'invalid_request'],
    [{ reply_to_id: unknown }, 'INVALID_ARGUMENT', 'invalid_reply'],
    [{ mentions: [mention(4)] }, 'INVALID_ARGUMENT', 'mention_outside_content'],
    [{ mentions: [mention(-1)] }, 'INVALID_ARGUMENT', 'invalid_request']
  ] as const) {
    expect(await outcome(client.sendMessage(draft(change))), JSON.stringify(change)).toEqual(expected)
  }
  for (const [request, ...expected] of [
    [{ conversation_id: 'no id' }, 'INVALID_ARGUMENT', 'invalid_request'],
    [{ conversation_id: foreign }, 'NOT_FOUND', 'conversation_not_found'],
    [{ conversation_id: conversation, limit: 201 }, 'INVALID_ARGUMENT', 'invalid_request'],
    [{ conversation_id: conversation, limit: -1 }, 'INVALID_ARGUMENT', 'invalid_request'],
    [{ conversation_id: conversation, before_id: 'no id' }, 'INVALID_ARGUMENT', 'invalid_request'],
    [{ conversation_id: conversation, before_id: unknown }, 'INVALID_ARGUMENT', 'invalid_cursor']
  ] as const) {
    expect(await outcome(client.getMessages(request)), JSON.stringify(request)).toEqual(expected)
  }
})

test('a refusal carries ErrorInfo, and the request id of the call', async () => {
  const { metadata, details } = await refused(
    client.sendMessage(draft({ content: '' }), { metadata: { 'x-request-id': 'trace-1' } })
  )
  const status: any = RpcStatus.deserialize(metadata.get('grpc-status-details-bin')[0] as Buffer)
  expect([status.code, status.message, status.details[0].type_url])
    .toEqual([3, details, 'type.googleapis.com/google.rpc.ErrorInfo'])
  expect(ErrorInfo.deserialize(status.details[0].value))
    .toMatchObject({ reason: 'content_empty', domain: 'echo' })
  expect(metadata.get('x-request-id')).toEqual(['trace-1'])
})

test('a request over 256 KB, and one that is no message, are refused; the next is answered', async () => {
  expect((await refused(client.sendMessage(draft({ content: 'x'.repeat(256 * 1024) })))).status)
    .toBe('RESOURCE_EXHAUSTED')
  const raw = new Client(`127.0.0.1:${api.grpcPort}`, credentials.createInsecure())
  const garbage = new Promise<ServiceError>(resolve => {
    raw.makeUnaryRequest(
      '/message.MessageService/SendMessage', (bytes: Buffer) => bytes, bytes => bytes,
      Buffer.from([0xff, 0xff, 0xff]), error => resolve(error!)
    )
  })
  expect((await garbage).code).toBe(13)
  raw.close()
  await client.sendMessage(draft())
})

test('fields that this version does not know are ignored', async () => {
  const { SendMessage: { requestSerialize, responseDeserialize } } = MESSAGE_SERVICE
  const raw = new Client(`127.0.0.1:${api.grpcPort}`, credentials.createInsecure())
  const metadata = new Metadata()
  metadata.set('authorization', `Bearer ${alice.token}`)
  // Field 99, a string: what a later version may have.
  const later = Buffer.concat([requestSerialize(draft()), Buffer.from([0x9a, 0x06, 0x01, 0x78])])
  const answer = await new Promise<any>((resolve, reject) => {
    raw.makeUnaryRequest(
      '/message.MessageService/SendMessage', (bytes: Buffer) => bytes, responseDeserialize, later, metadata,
      (error, value) => error === null ? resolve(value) : reject(error)
    )
  })
  expect(answer.message.content).toBe('Hello')
  raw.close()
})

test('a call whose deadline is over ends with DEADLINE_EXCEEDED', async () => {
  const { sends } = api.messaging
  const { send: sendNow } = sends
  sends.send = () => new Promise(() => {})
  try {
    const { status } = await refused(client.sendMessage(draft(), { deadline: Date.now() + 100 }))
    expect(status).toBe('DEADLINE_EXCEEDED')
  } finally {
    sends.send = sendNow
  }
})

test('calls and requests count together, and a refusal says when to try again', async () => {
  await using other = await startTestApi({ rateLimits: { requests: 3, sends: 1, windowMs: 60_000 } })
  const [ann, ben] = [await other.user('ann'), await other.user('ben')]
  const id = await direct(ann, ben)
  using caller = grpcClient(other.grpcPort, ann.token)
  const own = { conversation_id: id, sender_user_id: ann.id, content: 'Hello', message_type: 'text' }
  await caller.sendMessage(own)
  const { status, code, metadata } = await refused(caller.sendMessage(own))
  expect([status, code]).toEqual(['RESOURCE_EXHAUSTED', 'rate_limited'])
  expect(Number(metadata.get('retry-after')[0])).toBeGreaterThan(50)
  expect((await ann.get('/users/me')).status).toBe(429)
  expect(await outcome(caller.getMessages({ conversation_id: id })))
    .toEqual(['RESOURCE_EXHAUSTED', 'rate_limited'])
})

test('what is refused before a call has begun is counted, too', async () => {
  const method = (name: string) => `/message.MessageService/${name}`
  const raw = new Client(`127.0.0.1:${api.grpcPort}`, credentials.createInsecure())
  const codeOf = (path: string, request: Buffer, metadata = new Metadata()): Promise<number> =>
    new Promise(resolve => {
      raw.makeUnaryRequest(path, (bytes: Buffer) => bytes, bytes => bytes, request, metadata,
        error => resolve(error!.code))
    })
  const counted = async (name: string, code: string): Promise<number> => (await callsTotal.get()).values
    .find(({ labels }) => labels.method === name && labels.status === code)?.value ?? 0
  const noTime = new Metadata()
  noTime.set('grpc-timeout', 'soon')
  for (const [name, code, request, metadata] of [
    ['SendMessage', 'RESOURCE_EXHAUSTED', Buffer.alloc(256 * 1024 + 1), undefined],
    ['GetMessages', 'INTERNAL', Buffer.from([0xff, 0xff, 0xff]), undefined],
    ['StreamMessages', 'INTERNAL', Buffer.alloc(0), noTime]
  ] as const) {
    const before = await counted(name, code)
    expect(status[await codeOf(method(name), request, metadata)]).toBe(code)
    await until(async () => await counted(name, code) === before + 1, `${name} ${code} is counted once`)
  }
  raw.close()
})

test('an unexpected error is INTERNAL and tells nothing', async () => {
  await using other = await startTestApi()
  const ann = await other.user('ann')
  using caller = grpcClient(other.grpcPort, ann.token)
  await ann.get('/users/me')
  await runSql(other.databaseUrl, 'drop schema public cascade')
  const { status, code, details } = await refused(caller.getMessages({ conversation_id: conversation }))
  expect([status, code, details]).toEqual(['INTERNAL', 'internal', 'something went wrong on the server'])
  expect(other.logged.join()).toContain('a call failed unexpectedly')
})
