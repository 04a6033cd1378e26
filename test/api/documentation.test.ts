import { afterAll, beforeAll, expect, test } from 'vitest'
import { Compile } from 'typebox/compile'
import { type Caller, direct, inboxEnd, send, startTestApi, type TestApi } from './api.ts'

let api: TestApi
let alice: Caller
let bob: Caller
let root: Caller
let document: any

beforeAll(async () => {
  api = await startTestApi()
  alice = await api.user('alice')
  bob = await api.user('bob')
  root = await api.user('root', { claims: { scope: 'admin' } })
  document = (await api.anonymous().get('//docs/json')).body
})
afterAll(() => api[Symbol.asyncDispose]())

interface Operation { path: string, method: string, summary?: string, tags?: string[], security?: unknown[], responses: Record<string, any> }

const operations = (): Operation[] => Object.entries<Record<string, Operation>>(document.paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, operation]) => ({ ...operation, path, method })))

test('the page is there', async () => {
  const page = await fetch(`${api.url}/docs`)
  expect([page.status, page.headers.get('content-type')]).toEqual([200, expect.stringMatching(/^text\/html/)])
})

test('every operation has a summary, a tag, its security and its problems', () => {
  expect(document.openapi).toBe('3.1.0')
  for (const { path, method, summary, tags, security, responses } of operations()) {
    const name = `${method} ${path}`
    expect(summary, name).toEqual(expect.any(String))
    expect(tags, name).toHaveLength(1)
    const open = !path.startsWith('/api/')
    expect(security, name).toEqual(open ? [] : [{ token: [] }])
    if (!open) expect(Object.keys(responses), name).toEqual(expect.arrayContaining(['401', '429', '503']))
  }
})

test('every reference of the document leads somewhere', () => {
  const references = [...JSON.stringify(document).matchAll(/"\$ref":"([^"]+)"/g)].map(match => match[1]!)
  expect(references.length).toBeGreaterThan(50)
  for (const reference of new Set(references)) {
    const target = reference.startsWith('#/') && reference.slice(2).split('/').reduce((node, key) => node?.[key], document)
    expect(target, reference).toBeTruthy()
  }
})

test('answers are what the document says, without a field it does not name', async () => {
  const conversation = await direct(alice, bob)
  const message = await send(alice, conversation, 'documented', { mentions: [{ user_id: bob.id, offset: 0, length: 1 }] })
  await bob.post(`/messages/${message.body.id}/read`)
  const answers: Array<[string, string, { status: number, body: unknown }]> = [
    ['post', '/messages', message],
    ['get', '/conversations/{id}/messages', await bob.get(`/conversations/${conversation}/messages`)],
    ['get', '/messages/{id}', await bob.get(`/messages/${conversation}`)],
    ['get', '/messages/{id}/status', await alice.get(`/messages/${message.body.id}/status`)],
    ['put', '/messages/{id}/reactions/{emoji}', await bob.put(`/messages/${message.body.id}/reactions/👍`)],
    ['patch', '/messages/{id}', await alice.patch(`/messages/${message.body.id}`, { content: 'documented well' })],
    ['get', '/admin/messages/{id}/versions', await root.get(`/admin/messages/${message.body.id}/versions`)],
    ['delete', '/messages/{id}', await alice.delete(`/messages/${message.body.id}`)],
    ['post', '/conversations', await alice.post('/conversations', { type: 'group', participant_ids: [bob.id] })],
    ['get', '/conversations', await alice.get('/conversations')],
    ['get', '/conversations/{id}', await alice.get(`/conversations/${conversation}`)],
    ['post', '/inbox/ack', await bob.post('/inbox/ack', { seq: await inboxEnd(bob) }, { 'x-device-id': 'phone' })],
    ['get', '/inbox', await bob.get('/inbox')],
    ['put', '/devices/{device_id}', await bob.put('/devices/phone', { platform: 'ios', push_token: 't' })],
    ['get', '/devices', await bob.get('/devices')],
    ['get', '/users/me', await bob.get('/users/me')],
    ['get', '/users/{id}', await bob.get(`/users/${alice.id}`)],
    ['get', '/users/{id}/presence', await bob.get(`/users/${alice.id}/presence`)],
    ['get', '/conversations/{id}', await bob.get('/conversations/general')]
  ]
  for (const [method, path, { status, body }] of answers) {
    const { content } = document.paths[`/api/v1${path}`][method].responses[status]
    if (body === undefined) continue
    const { schema } = Object.values<{ schema: object }>(content)[0]!
    const checker = Compile(resolved(schema) as never)
    expect(checker.Errors(body), `${method} ${path} ${status}`).toEqual([])
  }
})

/** The schema with its references replaced, closed except where it says that it is open. */
function resolved (node: any): any {
  if (Array.isArray(node)) return node.map(resolved)
  if (typeof node !== 'object' || node === null) return node
  if (node.$ref !== undefined) return resolved(node.$ref.slice(2).split('/').reduce((target: any, key: string) => target[key], document))
  const copy = Object.fromEntries(Object.entries(node).map(([key, value]) => [key, resolved(value)]))
  return node.type === 'object' && node.properties !== undefined ? { additionalProperties: false, ...copy } : copy
}
