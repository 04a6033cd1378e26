/**
 * What an operator sees of a running system: metrics, their dashboard, and one message followed
 * through the log.
 */
import { randomUUID } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startEchoAlone, token, type EchoProcess } from '../support/echo-process.ts'
import { connectPhone, type Phone } from '../support/phone.ts'
import { restClient, type RestClient } from '../support/rest.ts'
import { until } from '../support/until.ts'

let echo: EchoProcess
let alice: RestClient
let bobsPhone: Phone
let conversation: string

beforeAll(async () => {
  echo = await startEchoAlone({ env: { LOG_LEVEL: 'debug' } })
  alice = restClient(echo.api, await token('alice'))
  bobsPhone = await phone('bob')
  conversation = (await alice('POST', '/conversations', { type: 'direct', participant_ids: ['bob'] })).body.id
})
afterAll(async () => {
  await bobsPhone?.[Symbol.asyncDispose]()
  await echo?.[Symbol.asyncDispose]()
})

const phone = async (userId: string): Promise<Phone> =>
  connectPhone({ userId, deviceId: 'phone', token: await token(userId), port: echo.mqttPort })

type Line = Record<string, any>
const log = (): Line[] =>
  echo.output().split('\n').filter(line => line.startsWith('{')).map(line => JSON.parse(line))
const metrics = async (): Promise<string> => (await fetch(`${echo.http}/metrics`)).text()

/** The sum over all series of a metric that have these labels. */
function valueOf (text: string, name: string, labels: Record<string, string> = {}): number {
  const series = text.split('\n').filter(line => line.startsWith(`${name} `) || line.startsWith(`${name}{`))
  return series.filter(line =>
    Object.entries(labels).every(([label, value]) => line.includes(`${label}="${value}"`)))
    .reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0)
}

/** Every step of a message from the request to the acknowledgement of a device, in the log. */
async function follow (requestId: string, userId: string): Promise<Line[]> {
  return await until(() => {
    const lines = log()
    const came = lines.find(line => line.msg === 'a message came in' && line.request_id === requestId)
    const committed = lines.find(line => line.msg === 'a message is committed' &&
      line.request_id === requestId)
    if (came === undefined || committed === undefined) return undefined
    const device = (line: Line): boolean => line.message_id === committed.message_id &&
      line.user_id === userId
    const written = lines.find(line => line.msg === 'an event is written to a device' &&
      line.type === 'new_message' && device(line))
    const acknowledged = lines.find(line => line.msg === 'a device acknowledged an event' && device(line) &&
      line.seq === written?.seq)
    return written !== undefined && acknowledged !== undefined && [came, committed, written, acknowledged]
  }, `${requestId} is followed to its acknowledgement`)
}

const SECRET = 'a text that stays out of every log'

test('a message is followed from its request to the acknowledgement by ids alone', async () => {
  const sent = await alice('POST', '/messages', {
    conversation_id: conversation, content: SECRET, message_type: 'text'
  }, { 'x-request-id': 'call-me-1' })
  expect([sent.status, sent.headers.get('x-request-id')]).toEqual([201, 'call-me-1'])
  const [came, committed, written, acknowledged] =
    await follow('call-me-1', 'bob') as [Line, Line, Line, Line]
  expect(came).toMatchObject({ door: 'rest', user_id: 'alice', conversation_id: conversation })
  expect(committed).toMatchObject({
    message_id: sent.body.id, conversation_id: conversation, seq: sent.body.seq, repeated: false
  })
  expect(written).toMatchObject({
    user_id: 'bob', device_id: 'phone', message_id: sent.body.id, seq: bobsPhone.events.at(-1)!.seq
  })
  expect(acknowledged).toMatchObject({ user_id: 'bob', device_id: 'phone', message_id: sent.body.id })
  expect(
    log().find(line => line.msg === 'a request is answered' && line.request_id === 'call-me-1')
  ).toMatchObject({ method: 'POST', route: '/api/v1/messages', status: 201 })

  await using sender = await phone('carol')
  const group =
    (await alice('POST', '/conversations', { type: 'group', participant_ids: ['bob', 'carol'] })).body.id
  const command = {
    type: 'send_message',
    conversation_id: group,
    content: SECRET,
    message_type: 'text',
    client_message_id: randomUUID(),
    request_id: 'call-me-2'
  }
  await sender.client.publishAsync('user/carol/outbox', JSON.stringify(command), { qos: 1 })
  expect((await follow('call-me-2', 'bob'))[0]).toMatchObject({ door: 'mqtt', user_id: 'carol' })
  // Acknowledgements linger: the next tests count from here.
  await until(
    async () => valueOf(await metrics(), 'echo_delivery_seconds_count') === 2, 'both count as delivered'
  )
  expect(echo.output().split('\n')
    .filter(line => line.includes(SECRET) && !line.includes('"msg":"push"'))).toEqual([])
  expect(echo.output()).not.toContain(await token('alice'))
})

test('a request id is answered as it came when it is well-formed, and is a new one otherwise', async () => {
  for (const given of ['a b', 'x'.repeat(129), '"quoted"', undefined]) {
    const { headers } =
      await alice('GET', '/users/me', undefined, given === undefined ? {} : { 'x-request-id': given })
    expect(headers.get('x-request-id'), given).toMatch(/^[0-9a-f-]{36}$/)
  }
  for (const [path, status] of [['/nowhere', 404], ['/users/%zz', 400]] as const) {
    const answer = await alice('GET', path, undefined, { 'x-request-id': `refused-${status}` })
    expect([answer.status, answer.headers.get('x-request-id')], path).toEqual([status, `refused-${status}`])
  }
})

test('what a message passes is measured', async () => {
  const before = await metrics()
  const grown = (after: string, name: string, labels?: Record<string, string>): number =>
    valueOf(after, name, labels) - valueOf(before, name, labels)
  const { body: { id } } = await alice(
    'POST', '/messages', { conversation_id: conversation, content: 'measured', message_type: 'text' }
  )
  await alice(
    'POST', '/messages', { conversation_id: randomUUID(), content: 'to nowhere', message_type: 'text' }
  )
  // Read implies delivered: a message that was read before is not measured as delivered.
  const measured = async (): Promise<boolean> => grown(await metrics(), 'echo_delivery_seconds_count') >= 1
  await until(measured, 'the delivery is measured')
  const bob = restClient(echo.api, await token('bob'))
  await bob('POST', `/messages/${id}/read`)
  await bob('GET', `/somewhere/${randomUUID()}`)
  const after = await metrics()
  expect(grown(after, 'echo_sends_total', { door: 'rest', outcome: 'stored' })).toBe(1)
  expect(grown(after, 'echo_sends_total', { door: 'rest', outcome: 'refused' })).toBe(1)
  expect(grown(after, 'echo_send_commit_seconds_count')).toBe(2)
  expect(grown(after, 'echo_send_batch_messages_sum')).toBe(2)
  expect(grown(after, 'echo_acknowledgement_flush_devices_sum')).toBeGreaterThan(0)
  expect(grown(after, 'echo_reads_total', { outcome: 'stored' })).toBe(1)
  expect(grown(after, 'echo_receipts_total', { type: 'delivered' })).toBe(1)
  expect(grown(
    after, 'echo_http_requests_total', { method: 'POST', route: '/api/v1/messages', status: '201' }
  )).toBe(1)
  expect(grown(after, 'echo_http_requests_total', { method: 'any', route: 'unknown', status: '404' })).toBe(1)
  expect(grown(after, 'echo_http_request_seconds_count', { route: '/api/v1/messages/:id/read' })).toBe(1)
  expect(after).not.toContain('somewhere')
  for (const [name, value] of Object.entries({
    echo_pumps: 1,
    echo_mqtt_sessions: 1,
    echo_mqtt_connections: 1,
    echo_connected_users: 1,
    echo_sends_waiting: 0,
    echo_redis_away: 0
  })) {
    expect([name, valueOf(after, name)]).toEqual([name, value])
  }
  expect(valueOf(after, 'echo_database_connections', { pool: 'reads' })).toBeGreaterThan(0)
  for (const process of [
    'process_resident_memory_bytes', 'nodejs_eventloop_lag_p99_seconds', 'nodejs_heap_size_used_bytes'
  ]) expect(after).toContain(`\n${process} `)
})

test('a phone that acknowledges nothing is seen behind', async () => {
  await using paused = await connectPhone({
    userId: 'dave', deviceId: 'phone', token: await token('dave'), port: echo.mqttPort, paused: true
  })
  const group = (await alice('POST', '/conversations', { type: 'group', participant_ids: ['dave'] })).body.id
  for (let i = 0; i < 4; i++) {
    await alice(
      'POST', '/messages', { conversation_id: group, content: `${i}`, message_type: 'text' }
    )
  }
  await until(async () => valueOf(await metrics(), 'echo_pump_lag_events_max') === 5, 'the lag is seen')
  paused.acknowledgeAll()
})

interface Panel {
  id: number
  type: string
  title: string
  gridPos: { x: number, y: number, w: number, h: number }
  datasource?: { uid: string }
  targets?: Array<{ expr: string, refId: string }>
  fieldConfig?: { defaults: { unit?: string } }
}

test('the dashboard is one that Grafana takes, and asks for nothing that is not measured', async () => {
  const dashboard = JSON.parse(await readFile('docs/grafana-dashboard.json', 'utf8'))
  expect(dashboard).toMatchObject({
    title: expect.any(String),
    uid: expect.any(String),
    schemaVersion: expect.any(Number),
    time: { from: expect.any(String) }
  })
  expect(dashboard.templating.list[0]).toMatchObject({ type: 'datasource', query: 'prometheus' })
  const panels: Panel[] = dashboard.panels
  expect(new Set(panels.map(panel => panel.id)).size).toBe(panels.length)
  const names = new Set<string>()
  for (const { type, title, gridPos: { x, y, w, h }, targets = [], datasource, fieldConfig } of panels) {
    expect(x >= 0 && y >= 0 && w > 0 && h > 0 && x + w <= 24, title).toBe(true)
    if (type === 'row') continue
    expect(
      [targets.length > 0, datasource?.uid, new Set(targets.map(target => target.refId)).size], title
    ).toEqual([true, '${datasource}', targets.length]) // eslint-disable-line no-template-curly-in-string
    expect(fieldConfig?.defaults.unit, title).toEqual(expect.any(String))
    for (const { expr } of targets) {
      for (const [name] of expr.matchAll(/\b(echo|process|nodejs)_\w+/g)) names.add(name)
    }
  }
  expect(names.size).toBeGreaterThan(20)
  const exposed = new Set([...(await metrics()).matchAll(/^# TYPE (\S+)/gm)].map(match => match[1]))
  const unknown = [...names].filter(name => !exposed.has(name) &&
    !exposed.has(name.replace(/_(bucket|sum|count)$/, '')))
  expect(unknown).toEqual([])
  const unseen = [...exposed].filter(name => name!.startsWith('echo_') &&
    ![...names].some(queried => queried.startsWith(name!)))
  expect(unseen).toEqual([])
})
