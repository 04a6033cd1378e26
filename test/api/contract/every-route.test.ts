/**
 * Every operation of the OpenAPI document, with every answer that it documents. The document decides what
 * must be here: an operation, a status or a code without a request that gets it fails the test.
 */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { defaultLimits } from '../../../api/limits/overload.ts'
import { commonCodes } from '../../../api/contract/problem-codes.ts'
import { runSql, SERVER_VARIABLE } from '../../support/database.ts'
import { until } from '../../support/until.ts'
import { type Answer, type Caller, type RequestOptions, startTestApi, type TestApi } from '../api.ts'
import { type Operation } from './contract.ts'
import { ROWS } from './every-route/rows.ts'
import { fileHead, form, FORM_END, FORM_TYPE, PNG } from '../attachments/uploads.ts'
import { makeWorld, type World } from './every-route/world.ts'

let api: TestApi
let world: World

beforeAll(async () => {
  api = await startTestApi()
  world = await makeWorld(api)
})
afterAll(() => api[Symbol.asyncDispose]())

const of = (answer: Answer): unknown[] => [answer.status, answer.body?.code]

function traitsOf ({ method, path, behindToken, spec }: Operation) {
  const json = spec.requestBody?.content['application/json'] !== undefined
  const readsJson = json || (spec.requestBody === undefined && !['GET', 'HEAD'].includes(method))
  return {
    behindToken,
    readsJson,
    hasParams: path.includes('{'),
    hasInput: behindToken // all of them have a query, which may be wrong
  }
}

test('every operation and every code of its own has a row, and every row an operation', () => {
  const missing: string[] = []
  for (const operation of api.contract.operations) {
    const row = ROWS[operation.name]
    if (row === undefined) missing.push(operation.name)
    const common = new Set<string>(commonCodes(traitsOf(operation)))
    for (const code of api.contract.codesOf(operation).keys()) {
      if (!common.has(code) && row?.problems?.[code] === undefined) missing.push(`${operation.name}: ${code}`)
    }
    for (const status of Object.keys(operation.spec.responses)) {
      if (/^[23]/.test(status) && row?.success[Number(status)] === undefined) {
        missing.push(`${operation.name}: ${status}`)
      }
    }
  }
  expect(missing).toEqual([])
  expect(Object.keys(ROWS).sort()).toEqual(api.contract.operations.map(operation => operation.name).sort())
})

test.each(Object.entries(ROWS))('%s answers as documented', async (
  name, { success, problems = {}, outsider }
) => {
  const operation = api.contract.operations.find(operation => operation.name === name)
  const codes = api.contract.codesOf(operation!)
  for (const [status, ask] of Object.entries(success)) {
    expect((await ask(world)).status, `${name}: ${status}`).toBe(Number(status))
  }
  for (const [code, ask] of Object.entries(problems)) {
    expect(codes.has(code), `${code} is documented`).toBe(true)
    if (typeof ask === 'function') {
      expect(of(await ask(world)), `${name}: ${code}`).toEqual([codes.get(code), code])
    }
  }
  if (typeof outsider !== 'string') {
    expect(of(await outsider[1](world)), `${name}: an outsider`).toEqual([
      codes.get(outsider[0]), outsider[0]
    ])
  }
})

/** Sends what the document gives as examples, to every operation whose traits `applies` likes. */
async function everyOperation (
  caller: Caller, expected: [number, string], applies: (operation: Operation) => boolean,
  change: (request: ExampleRequest) => void = () => {}, oneByOne = false
): Promise<void> {
  const chosen = api.contract.operations.filter(applies)
  expect(chosen.length).toBeGreaterThan(5)
  const ask = async (operation: Operation): Promise<unknown[]> => {
    const request = exampleRequest(operation)
    change(request)
    const { method, path, body, options } = request
    return [operation.name, ...of(await caller.request(method, path, body, options))]
  }
  const answers: unknown[][] = []
  if (oneByOne) for (const operation of chosen) answers.push(await ask(operation))
  else answers.push(...await Promise.all(chosen.map(ask)))
  expect(answers).toEqual(chosen.map(({ name }) => [name, ...expected]))
}

interface ExampleRequest {
  operation: Operation
  method: string
  path: string
  body?: unknown
  options: RequestOptions
}

function exampleRequest (operation: Operation): ExampleRequest {
  const { method, spec } = operation
  const parameters: any[] = spec.parameters ?? []
  const example = (parameter: any): string => encodeURIComponent(parameter.example ??
    parameter.schema.example ?? parameter.schema.examples?.[0] ?? 'x')
  const path = operation.path.replaceAll(
    /\{([^}]+)\}/g, (_, name) => example(parameters.find(parameter => parameter.name === name))
  )
  const query = parameters.filter(parameter => parameter.in === 'query' && parameter.required)
    .map(parameter => `${parameter.name}=${example(parameter)}`)
  const headers = Object.fromEntries(parameters.filter(parameter => parameter.in === 'header')
    .map(parameter => [parameter.name, example(parameter)]))
  if (spec.requestBody?.content['multipart/form-data'] !== undefined) {
    return {
      operation,
      method,
      path,
      options: { raw: form(fileHead(), PNG, FORM_END), headers: { ...headers, 'content-type': FORM_TYPE } }
    }
  }
  return {
    operation,
    method,
    path: query.length === 0
      ? path
      : `${path}?${query.join('&')}`,
    body: exampleBody(operation),
    options: { headers }
  }
}

function exampleBody ({ spec }: Operation): unknown {
  const media = spec.requestBody?.content['application/json']
  return media?.example ?? Object.values<any>(media?.examples ?? {})[0]?.value
}
const withToken = (operation: Operation): boolean => operation.behindToken
/** What nodes tell of themselves can be asked while the database is away. */
const ASKS_NODES_ALONE = new Set(['GET /admin/sessions', 'GET /admin/pushes'])
const withDatabase = (operation: Operation): boolean =>
  withToken(operation) && !ASKS_NODES_ALONE.has(operation.name)
const hasCode = (code: string) => (operation: Operation): boolean => api.contract.codesOf(operation).has(code)

test('without a token every operation behind one is 401', () =>
  everyOperation(api.anonymous(), [401, 'token_required'], withToken))

test('with a token that does not hold every operation behind one is 401', () =>
  everyOperation(api.anonymous('nonsense'), [401, 'invalid_token'], withToken))

test('a body that is no JSON is 400 wherever a body is read', () =>
  everyOperation(
    world.root, [400, 'malformed_json'], hasCode('malformed_json'), request => { request.options.raw = '{' }
  ))

test('a body of another type is 415 wherever a body is read', () =>
  everyOperation(world.root, [415, 'unsupported_media_type'], hasCode('malformed_json'), request => {
    request.options.raw = 'a=b'
    request.options.headers!['content-type'] = 'application/x-www-form-urlencoded'
  }))

test('a compressed body is 415 everywhere', () =>
  everyOperation(world.root, [415, 'unsupported_media_type'], hasCode('unsupported_media_type'), request => {
    request.options.headers!['content-encoding'] = 'gzip'
  }))

test('a large body is 413 wherever a body is read', () =>
  everyOperation(world.root, [
    413, 'body_too_large'
  ], hasCode('body_too_large'), request => { request.options.raw = ' '.repeat(256 * 1024 + 1) }))

test('an overlong parameter is 414 wherever the path has one', () =>
  everyOperation(world.root, [414, 'uri_too_long'], hasCode('uri_too_long'), request => {
    request.path = request.operation.path.replaceAll(/\{[^}]+\}/g, 'x'.repeat(3_000))
  }))

test('what a schema refuses is 400', () =>
  everyOperation(world.root, [400, 'invalid_request'], hasCode('invalid_request'), request => {
    const { path, spec } = request.operation
    if (path.includes('{')) request.path = path.replaceAll(/\{[^}]+\}/g, '%zz')
    else if (spec.requestBody?.content['application/json'] !== undefined) request.body = []
    else request.path = `${path}?limit=none`
  }))

test('a query parameter that an operation does not have is 400', () =>
  everyOperation(world.root, [400, 'invalid_request'], withToken, request => {
    request.path += `${request.path.includes('?') ? '&' : '?'}unheard_of=1`
  }))

test('a user who asks too often gets 429 from every operation behind a token', async () => {
  await using other = await startTestApi({ rateLimits: { requests: 1, sends: 0, windowMs: 60_000 } })
  const caller = await other.user('caller', { claims: { scope: 'admin' } })
  await caller.get('/users/me')
  await everyOperation(caller, [429, 'rate_limited'], hasCode('rate_limited'))
})

test('an overloaded server answers 503 to every operation behind a token', async () => {
  await using other = await startTestApi({ overload: { ...defaultLimits(), residentBytes: 1, sampleMs: 10 } })
  const caller = await other.user('caller', { claims: { scope: 'admin' } })
  await until(async () => (await caller.get('/users/me')).status === 503, 'the server has noticed')
  await everyOperation(caller, [503, 'overloaded'], hasCode('overloaded'))
})

test('while the database is away every operation that needs it is 503', async () => {
  await using other = await startTestApi()
  const caller = await other.user('caller', { claims: { scope: 'admin' } })
  await caller.get('/users/me')
  await cutDatabase(other)
  await everyOperation(caller, [503, 'unavailable'], withDatabase)
})

test('an unexpected error is 500 and tells nothing', async () => {
  await using other = await startTestApi()
  const caller = await other.user('caller', { claims: { scope: 'admin' } })
  await caller.get('/users/me')
  await runSql(other.databaseUrl, 'drop schema public cascade')
  // Together they would be one set, which is tried in halves, and what is left after 2 s is 503.
  await everyOperation(caller, [500, 'internal'], withDatabase, () => {}, true)
})

async function cutDatabase ({ databaseUrl }: TestApi): Promise<void> {
  const name = /\/(echo_test_\w+)/.exec(databaseUrl)![1]
  await runSql(process.env[SERVER_VARIABLE]!, `alter database ${name} with allow_connections false`)
  await runSql(
    process.env[SERVER_VARIABLE]!,
    `select pg_terminate_backend(pid) from pg_stat_activity where datname = '${name}'`
  )
}
