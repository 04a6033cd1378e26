/**
 * docs/asyncapi.yaml against the system: what a device receives and may send is what the document says, and
 * nothing else.
 */
import { readFileSync } from 'node:fs'
import { Parser } from '@asyncapi/parser'
import mqtt, { type MqttClient } from 'mqtt'
import pino from 'pino'
import { Compile } from 'typebox/compile'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { parse } from 'yaml'
import { CLOSE } from '../../../broker/json-websocket/close-codes.ts'
import { startBroker, type Broker } from '../../../broker/start.ts'
import { COMMANDS } from '../../../core/commands.ts'
import { EVENT_TYPES } from '../../../core/events.ts'
import { runSql } from '../../support/database.ts'
import { connectJson } from '../../support/json-device.ts'
import { until } from '../../support/until.ts'
import { type Caller, direct, group, send, startTestApi, type TestApi } from '../api.ts'
import { closed } from './contract.ts'

const text = readFileSync(new URL('../../../docs/asyncapi.yaml', import.meta.url), 'utf8')
const document = parse(text)
const messagesOf = (channel: string): string[] => Object.keys(document.channels[channel].messages)

let api: TestApi
let broker: Broker
let alice: Caller
let bob: Caller
const clients: MqttClient[] = []
/** Everything that devices received, by channel. */
const received: Record<string, any[]> = { inbox: [], live: [], replies: [] }

beforeAll(async () => {
  api = await startTestApi()
  broker = await startBroker({
    host: '127.0.0.1', mqttPort: 0, wsPort: 0
  }, { messaging: api.messaging, log: pino({ level: 'silent' }) })
  alice = await api.user('alice')
  bob = await api.user('bob')
})
afterAll(async () => {
  await Promise.all(clients.map(client => client.endAsync(true)))
  await broker[Symbol.asyncDispose]()
  await api[Symbol.asyncDispose]()
})

async function device (user: Caller): Promise<MqttClient> {
  const client = await mqtt.connectAsync({
    port: broker.mqttPort,
    clientId: 'phone',
    username: user.id,
    password: user.token,
    clean: false,
    reconnectPeriod: 0
  })
  clients.push(client)
  client.on(
    'message', (topic, payload) => received[topic.split('/')[2]!]!.push(JSON.parse(payload.toString()))
  )
  await client.subscribeAsync(`user/${user.id}/#`, { qos: 1 })
  return client
}

const seen = (channel: string, type: string) =>
  until(() => received[channel]!.find(value => value.type === type), `${type} has come`)

/** Names, numbers and lists of a schema without its prose. */
function bare (node: any): any {
  if (Array.isArray(node)) return node.map(bare)
  if (typeof node !== 'object' || node === null) return node
  // A field of a message may be called like a keyword; its schema is an object.
  const isProse = (key: string, value: unknown): boolean => ['description', 'examples'].includes(key) &&
    (typeof value !== 'object' || Array.isArray(value))
  return Object.fromEntries(Object.entries(node).filter(([key, value]) => !isProse(key, value))
    .map(([key, value]) => [key, bare(value)]))
}

test('a public parser finds nothing wrong with the document', async () => {
  const { document: parsed, diagnostics } = await new Parser().parse(text)
  expect(diagnostics.filter(({ severity }) => severity === 0)).toEqual([])
  expect(parsed!.version()).toBe('3.0.0')
})

test('the document has exactly the events and commands of the code, and the shapes of the OpenAPI document', () => {
  expect(messagesOf('inbox')).toEqual([...EVENT_TYPES])
  expect(messagesOf('outbox')).toEqual(Object.keys(COMMANDS).map(type => `command_${type}`))
  for (const [type, schema] of Object.entries(COMMANDS)) {
    expect(
      bare(document.components.messages[`command_${type}`].payload), type
    ).toEqual(bare(JSON.parse(JSON.stringify(schema))))
  }
  for (const [name, schema] of Object.entries(document.components.schemas)) {
    expect(bare(schema), name).toEqual(bare(api.contract.document.components.schemas[name]))
  }
})

test('the document has the frames of a JSON WebSocket both ways, and how the server ends it', () => {
  expect(messagesOf('frames')).toEqual([
    ...messagesOf('inbox').filter(type => type !== 'message_sent'), ...messagesOf('live'),
    ...messagesOf('replies'), ...messagesOf('outbox')
  ])
  const tooLarge = 1009 // decided by the library
  expect(Object.keys(document.channels.frames['x-close-codes']).map(Number))
    .toEqual([...Object.values(CLOSE), tooLarge].sort())
})

test('every example is what its schema says', () => {
  for (const [name, { payload, examples }] of Object.entries<any>(document.components.messages)) {
    for (const example of examples) {
      expect(Compile(closed(payload, document)).Errors(example.payload), name).toEqual([])
    }
  }
})

test('devices receive every message of the document, and each is as described', async () => {
  const [phone] = [await device(alice), await device(bob)]
  const command = (body: object) =>
    phone!.publishAsync(`user/${alice.id}/outbox`, JSON.stringify(body), { qos: 1 })
  const pair = await direct(alice, bob)
  await seen('inbox', 'conversation_created')
  const { body: message } =
    await send(alice, pair, 'hello', { mentions: [{ user_id: bob.id, offset: 0, length: 5 }] })
  await seen('inbox', 'message_delivered')
  await bob.put(`/messages/${message.id}/reactions/${encodeURIComponent('👍')}`)
  await bob.delete(`/messages/${message.id}/reactions/${encodeURIComponent('👍')}`)
  await bob.post(`/messages/${message.id}/read`)
  await alice.patch(`/messages/${message.id}`, { content: 'hello again' })
  await alice.delete(`/messages/${message.id}`)
  const team = await group(alice, bob)
  await alice.patch(`/conversations/${team}`, { title: 'Weekend' })
  await alice.post(`/conversations/${team}/participants`, { user_id: 'carol' })
  await alice.patch(`/conversations/${team}/participants/carol`, { role: 'admin' })
  await alice.put('/users/me', { name: 'Alice' })
  await alice.delete(`/conversations/${team}/participants/carol`)
  await bob.post(`/conversations/${pair}/typing`, { is_typing: true })
  await alice.put(`/conversations/${pair}/draft`, { content: 'See you at' })
  await command({
    type: 'send_message',
    conversation_id: pair,
    content: 'by MQTT',
    message_type: 'text',
    client_message_id: 'c-1'
  })
  await command({ type: 'typing', conversation_id: pair, is_typing: true, request_id: 'r-1' })
  await command({
    type: 'send_message', conversation_id: pair, content: '', message_type: 'text', client_message_id: 'c-2'
  })
  await command({ type: 'nonsense' })
  const late = await api.user('late')
  await direct(alice, late)
  await send(late, await direct(alice, late), 'hello')
  await runSql(api.databaseUrl, `delete from inbox_events where user_id = '${late.id}' and seq = 1`)
  // A partner of alice comes and goes.
  await device(late)

  for (const channel of ['inbox', 'live', 'replies']) {
    for (const type of messagesOf(channel)) await seen(channel, type)
    for (const value of received[channel]!) {
      expect(messagesOf(channel), `${channel}: ${value.type}`).toContain(value.type)
      const errors = Compile(closed(document.components.messages[value.type].payload, document)).Errors(value)
      expect(errors, `${channel}: ${JSON.stringify(value)}`).toEqual([])
    }
  }
})

test('a JSON WebSocket receives frames of the document, each as described', async () => {
  const [gwen, hank] = [await api.user('gwen'), await api.user('hank')]
  await using tab = await connectJson(broker.wsPort, { token: gwen.token, deviceId: 'tab' })
  const pair = await direct(hank, gwen)
  await send(hank, pair, 'hello')
  tab.send({
    type: 'send_message', conversation_id: pair, content: 'hi', message_type: 'text', client_message_id: 'c-1'
  })
  tab.send({ type: 'nonsense' })
  await hank.post(`/conversations/${pair}/typing`, { is_typing: true })
  await gwen.put(`/conversations/${pair}/draft`, { content: 'See you at' })
  for (const type of ['conversation_created', 'new_message', 'accepted', 'rejected', 'typing', 'draft']) {
    await until(() => tab.of(type).length > 0, `${type} has come`)
  }
  for (const frame of tab.frames) {
    expect(messagesOf('frames'), frame.type).toContain(frame.type)
    const errors = Compile(closed(document.components.messages[frame.type].payload, document)).Errors(frame)
    expect(errors, JSON.stringify(frame)).toEqual([])
  }
})
