/** A conversation that nobody has seen, one of strangers, and an id that is none are answered alike. */
import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { uuidv7 } from 'uuidv7'
import { grpcClient, refused } from '../../support/grpc-client.ts'
import { type Answer, type Caller, direct, startTestApi, type TestApi } from '../api.ts'

let api: TestApi
let alice: Caller
let strangers: string

beforeAll(async () => {
  api = await startTestApi()
  alice = await api.user('alice')
  strangers = await direct(await api.user('bob'), await api.user('carol'))
})
afterAll(() => api[Symbol.asyncDispose]())

const MESSAGE = { content: 'hello', message_type: 'text' }

/** Every operation that takes the id of a conversation, as OpenAPI names it. */
const ASK: Record<string, (id: string) => Promise<Answer>> = {
  'POST /messages': id => alice.post('/messages', { ...MESSAGE, conversation_id: id }),
  'GET /messages/search': id => alice.get(`/messages/search?q=hello&conversation_id=${id}`),
  'GET /messages/{id}': id => alice.get(`/messages/${id}`),
  'GET /conversations/{id}': id => alice.get(`/conversations/${id}`),
  'PATCH /conversations/{id}': id => alice.patch(`/conversations/${id}`, { title: 'Mine' }),
  'PUT /conversations/{id}/draft': id => alice.put(`/conversations/${id}/draft`, { content: 'x' }),
  'GET /conversations/{id}/messages': id => alice.get(`/conversations/${id}/messages`),
  'POST /conversations/{id}/typing': id => alice.post(`/conversations/${id}/typing`, { is_typing: true }),
  'GET /conversations/{id}/participants': id => alice.get(`/conversations/${id}/participants`),
  'POST /conversations/{id}/participants': id =>
    alice.post(`/conversations/${id}/participants`, { user_id: alice.id }),
  'PATCH /conversations/{id}/participants/{user_id}': id =>
    alice.patch(`/conversations/${id}/participants/${alice.id}`, { role: 'admin' }),
  'DELETE /conversations/{id}/participants/{user_id}': id =>
    alice.delete(`/conversations/${id}/participants/${alice.id}`)
}

test('every operation that may miss a conversation is asked here', () => {
  const own = api.contract.operations.filter(operation =>
    api.contract.codesOf(operation).has('conversation_not_found'))
  expect(Object.keys(ASK).sort()).toEqual(own.map(({ name }) => name).sort())
})

test.for(Object.keys(ASK))('%s tells no stranger whether there is such a conversation', async operation => {
  const ask = ASK[operation]!
  const answers = await Promise.all([uuidv7(), randomUUID(), strangers].map(ask))
  for (const answer of answers) {
    expect([answer.status, answer.body.code]).toEqual([404, 'conversation_not_found'])
    expect(answer.body).toEqual(answers[0]!.body)
  }
  expect((await ask('no-uuid')).body).toMatchObject({ status: 400, code: 'invalid_request' })
})

test('nor does gRPC', async () => {
  using client = grpcClient(api.grpcPort, alice.token)
  const refusals = await Promise.all([uuidv7(), strangers].flatMap(conversation_id => [
    refused(client.sendMessage({ ...MESSAGE, conversation_id, sender_user_id: alice.id })),
    refused(client.getMessages({ conversation_id }))
  ]))
  for (const { status, code, details } of refusals) {
    expect([status, code, details]).toEqual([
      'NOT_FOUND', 'conversation_not_found', 'there is no such conversation'
    ])
  }
})
