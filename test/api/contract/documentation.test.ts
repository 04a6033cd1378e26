import { afterAll, beforeAll, expect, test } from 'vitest'
import { Compile } from 'typebox/compile'
import { Validator } from '@seriousme/openapi-schema-validator'
import { startTestApi, type TestApi } from '../api.ts'
import { closed } from './contract.ts'

let api: TestApi
let document: any

beforeAll(async () => {
  api = await startTestApi()
  document = (await api.anonymous().get('//docs/json')).body
})
afterAll(() => api[Symbol.asyncDispose]())

interface Operation {
  path: string
  method: string
  summary?: string
  tags?: string[]
  security?: unknown[]
  requestBody?: any
  responses: Record<string, any>
}

test.for([
  '', '/', '/json', '/yaml', '/static/index.html', '/static/swagger-ui.css', '/static/swagger-ui-bundle.js',
  '/static/swagger-initializer.js', '/static/none'
])('/docs%s lets nothing run but its own scripts, and is in no frame', async path => {
  const { headers } = await api.anonymous().get(`//docs${path}`)
  expect(headers.get('x-content-type-options')).toBe('nosniff')
  const policy = headers.get('content-security-policy')?.split('; ')
  expect(policy).toEqual(expect.arrayContaining([
    "default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "base-uri 'none'"
  ]))
})

test('the page at /docs has no script of its own in it, and all that it loads is beside it', async () => {
  const html = await (await fetch(new URL('/docs', api.url))).text()
  const loaded = [...html.matchAll(/<(?:script src|link [^>]*href)="([^"]+)"/g)].map(match => match[1]!)
  expect(loaded.length).toBeGreaterThan(4)
  expect(loaded.filter(url => !url.startsWith('/docs/static/'))).toEqual([])
  expect(html.match(/<script(?! src)|<style|style=|\son\w+=/g)).toBeNull()
})

const operations = (): Operation[] => Object.entries<Record<string, Operation>>(
  document.paths
).flatMap(([path, methods]) =>
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
    const target = reference.startsWith('#/') &&
      reference.slice(2).split('/').reduce((node, key) => node?.[key], document)
    expect(target, reference).toBeTruthy()
  }
})

test('a public validator finds nothing wrong with the document', async () => {
  const { valid, errors } = await new Validator().validate(document)
  expect([valid, errors]).toEqual([true, undefined])
})

test('every body, answer and problem has an example, and the example is what its schema says', () => {
  for (const { path, method, requestBody, responses } of operations()) {
    for (const [status, { content = {} }] of Object.entries({ ...responses, body: requestBody ?? {} })) {
      for (const [mediaType, { schema, example, examples }] of Object.entries<any>(content)) {
        if (!/json$/.test(mediaType)) continue
        const given = examples === undefined
          ? [example]
          : Object.values<any>(examples).map(({ value }) => value)
        const checker = Compile(closed(schema, document))
        for (const value of given) {
          expect(checker.Errors(value), `${method} ${path} ${status}: ${JSON.stringify(value)}`).toEqual([])
        }
        const codes = schema.allOf?.[1].properties.code.enum
        if (codes !== undefined) expect(Object.keys(examples), `${method} ${path} ${status}`).toEqual(codes)
      }
    }
  }
})
