/** What the pages are served with, and who gets a token for development. */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { issueToken } from '../../../messaging/access/tokens.ts'
import { SECRET } from '../../support/tokens.ts'
import { ISSUER, startTestApi, type TestApi } from '../api.ts'

let folder: string
let api: TestApi

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'echo-pages-'))
  await mkdir(join(folder, 'console'))
  await mkdir(join(folder, 'assets'))
  await writeFile(join(folder, 'index.html'), '<title>Chat</title>')
  await writeFile(join(folder, 'console/index.html'), '<title>Console</title>')
  await writeFile(join(folder, 'assets/chat-1a2b.js'), 'go()')
  api = await startTestApi({
    pages: {
      folder,
      webSocketPort: 8083,
      issueToken: wanted => issueToken({ ...wanted, secret: SECRET, issuer: ISSUER })
    }
  })
})
afterAll(async () => {
  await api[Symbol.asyncDispose]()
  await rm(folder, { recursive: true })
})

interface Asked { method?: string, headers?: Record<string, string>, body?: object }
interface Answered { status: number, headers: Record<string, string>, body: string }

/** Not fetch: it chooses Host and Origin by itself. The path goes as it is: a URL would resolve its dots. */
async function ask (path: string, { method = 'GET', headers = {}, body }: Asked = {}): Promise<Answered> {
  return await new Promise((resolve, reject) => {
    request(api.url, { path, method, headers }, response => {
      const { statusCode: status = 0, headers } = response
      text(response).then(body => resolve({ status, headers: headers as Answered['headers'], body }), reject)
    }).on('error', reject).end(body && JSON.stringify(body))
  })
}

const port = (): string => new URL(api.url).port
const askToken = (headers: Record<string, string>, body: object = { user_id: 'alice' }): Promise<Answered> =>
  ask('/development-tokens', {
    method: 'POST',
    body,
    headers: {
      'content-type': 'application/json',
      host: `localhost:${port()}`,
      origin: `http://localhost:${port()}`,
      ...headers
    }
  })

test('the pages may run their own scripts only, and open the WebSocket of the host they came from', async () => {
  for (const [path, title] of [['/', 'Chat'], ['/console', 'Console']] as const) {
    const { status, headers, body } = await ask(path, { headers: { host: 'echo.example:8080' } })
    expect([status, body]).toEqual([200, `<title>${title}</title>`])
    expect(headers).toMatchObject({ 'cache-control': 'no-cache', 'x-content-type-options': 'nosniff' })
    const policy = headers['content-security-policy']!.split('; ')
    expect(policy).toEqual(expect.arrayContaining([
      "default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'",
      "connect-src 'self' ws://echo.example:8083 wss://echo.example:8083"
    ]))
    expect(policy.join()).not.toContain('unsafe')
  }
})

test('a host that is no plain name does not get into the policy', async () => {
  const { headers } = await ask('/', { headers: { host: "x; script-src 'unsafe-inline'" } })
  expect(headers['content-security-policy']).toContain("connect-src 'self';")
  expect(headers['content-security-policy']).not.toContain('unsafe')
})

test('assets never change, and nothing beside them is served', async () => {
  const { status, headers } = await ask('/assets/chat-1a2b.js')
  expect([status, headers['cache-control']]).toEqual([200, 'public, max-age=31536000, immutable'])
  for (const path of ['/assets/none.js', '/assets/..%2Findex.html', '/assets/%2e%2e', '/index.html']) {
    expect((await ask(path)).status, path).toBeGreaterThanOrEqual(400)
  }
})

test('without built pages the answer says how to build them', async () => {
  await using other = await startTestApi({ pages: { folder: join(folder, 'nowhere'), webSocketPort: 1 } })
  for (const path of ['/', '/console']) {
    const response = await fetch(other.url + path)
    expect(response.status).toBe(404)
    expect(response.headers.get('content-type')).toBe('text/plain; charset=utf-8')
    expect(await response.text()).toContain('npm run build:web')
  }
})

test('a page of this server, opened on its machine, gets a token for development', async () => {
  for (const name of ['localhost', '127.0.0.1', '[::1]']) {
    const { status, headers, body } = await askToken({
      host: `${name}:${port()}`, origin: `http://${name}:${port()}`, 'sec-fetch-site': 'same-origin'
    }, { user_id: 'alice', name: 'Alice' })
    expect([status, headers['cache-control']], name).toEqual([201, 'no-store'])
    const me = await api.anonymous(JSON.parse(body).token).get('/users/me')
    expect(me.body).toMatchObject({ id: 'alice', name: 'Alice' })
  }
  const { body } = await askToken({}, { user_id: 'root', scope: 'admin', ttl_seconds: 60 })
  expect((await api.anonymous(JSON.parse(body).token).get('/admin/statistics')).status).toBe(200)
})

test.for([
  ['a name that was made to lead here', { host: 'evil.example:80', origin: 'http://evil.example:80' }],
  ['another site', { origin: 'https://evil.example' }],
  ['another port of this machine', { origin: 'http://localhost:1' }],
  ['a sandboxed frame', { origin: 'null' }],
  ['a page behind a proxy', { 'x-forwarded-for': '203.0.113.7' }],
  ['a request that its browser calls foreign', { 'sec-fetch-site': 'cross-site' }]
] as Array<[string, Record<string, string>]>)('%s gets no token', async ([, headers]) => {
  const { status, body } = await askToken(headers)
  expect([status, JSON.parse(body).code]).toEqual([403, 'not_this_machine'])
})

test('a request without Origin gets no token', async () => {
  const { status } = await ask('/development-tokens', {
    method: 'POST', body: { user_id: 'alice' }, headers: { 'content-type': 'application/json' }
  })
  expect(status).toBe(403)
})

test('where tokens come from elsewhere there is no such route, and the page is told', async () => {
  expect(JSON.parse((await ask('/page-settings')).body)).toEqual({
    web_socket_port: 8083, development_tokens: true
  })
  await using other = await startTestApi({ pages: { folder, webSocketPort: 9 } })
  expect(await (await fetch(`${other.url}/page-settings`)).json()).toEqual({
    web_socket_port: 9, development_tokens: false
  })
  expect((await fetch(`${other.url}/development-tokens`, { method: 'POST' })).status).toBe(404)
})
