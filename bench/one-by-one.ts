/**
 * The yardstick: the same flow statement by statement, as a good engineer would
 * write it without group commit. Not part of Echo.
 *
 * Sensible single statements, prepared, 25 connections. One transaction stores a
 * message and queues it for its recipients' phones; a phone's PUBACK takes the
 * event from the queue, raises the delivered mark and queues the receipt in one
 * statement. Tables of its own keep only what this flow needs: no search, no
 * log to read again, one phone per user.
 */
import fastify from 'fastify'
import { jwtVerify } from 'jose'
import { LRUCache } from 'lru-cache'
import { createServer, type AddressInfo, type Socket } from 'node:net'
import { generate, parser, type Packet } from 'mqtt-packet'
import pg from 'pg'
import pino from 'pino'
import { uuidv7 } from 'uuidv7'
import { startEmbeddedPostgres } from '../store/embedded-postgres/start.ts'

const WINDOW = 64
/** Receipts in larger conversations are recorded and not told, as in Echo. */
const MAX_MEMBERS_WITH_RECEIPTS = 32
const CONNECTIONS = { durable: 20, lazy: 5 }

const SCHEMA = `
  drop schema if exists one_by_one cascade;
  create schema one_by_one;
  set search_path to one_by_one;
  create table conversations (
    id uuid primary key, type text not null, title text, direct_key text unique,
    last_seq bigint not null default 0, last_message_at timestamptz);
  create table members (
    conversation_id uuid not null, user_id text not null, last_delivered_seq bigint not null default 0,
    delivered_at timestamptz, primary key (conversation_id, user_id));
  create table messages (
    id uuid primary key, conversation_id uuid not null, seq bigint not null, sender_user_id text not null,
    content text not null, message_type text not null, client_message_id text,
    created_at timestamptz not null,
    unique (conversation_id, seq), unique (sender_user_id, client_message_id));
  create table queue (
    user_id text not null, seq bigserial, type text not null, conversation_id uuid not null, message_id uuid,
    primary key (user_id, seq));
  create table sessions (
    user_id text not null, device_id text not null, connected_at timestamptz,
    primary key (user_id, device_id))`

const embedded = process.env.DATABASE_URL
  ? undefined
  : await startEmbeddedPostgres({ dataDir: process.env.DATA_DIR!, log: pino({ level: 'warn' }) })
const url = embedded?.url ?? process.env.DATABASE_URL!
let stopping = false
const path = '-c search_path=one_by_one'
const pool = new pg.Pool({ connectionString: url, max: CONNECTIONS.durable, options: path })
// What a crash may forget without harm: the event comes again, and is acknowledged again.
const lazy = new pg.Pool({
  connectionString: url, max: CONNECTIONS.lazy, options: `${path} -c synchronous_commit=off`
})
for (const each of [pool, lazy]) each.on('error', () => {}) // the database is stopped before this process
await pool.query(SCHEMA)

type Client = pg.Pool | pg.PoolClient

async function rows<T = any> (client: Client, name: string, text: string, values: unknown[]): Promise<T[]> {
  return (await client.query({ name, text, values })).rows
}

async function transaction<T> (work: (client: pg.PoolClient) => Promise<T>): Promise<T> {
  const client = await pool.connect()
  try {
    await client.query('begin')
    const result = await work(client)
    await client.query('commit')
    return result
  } catch (error) {
    await client.query('rollback')
    throw error
  } finally {
    client.release()
  }
}

// Who is asking: the same check as Echo's, and remembered as there.

const key = new TextEncoder().encode(process.env.JWT_SECRET)
const identities = new LRUCache<string, { userId: string, expiresAt: number }>({ max: 50_000 })

async function authenticate (token: string): Promise<string> {
  let identity = identities.get(token)
  if (identity === undefined) {
    const { payload } = await jwtVerify(token, key, { algorithms: ['HS256'], requiredClaims: ['sub', 'exp'] })
    identity = { userId: payload.sub!, expiresAt: payload.exp! }
    identities.set(token, identity)
  }
  if (identity.expiresAt * 1_000 < Date.now()) throw new Error('the token has expired')
  return identity.userId
}

// Phones. An event goes to a phone as soon as it is committed, unless its window is full or it is behind.

interface Event { seq: number, type: string, body: Record<string, unknown> }
interface Queued extends Event { user_id: string }

const phones = new Map<string, Set<Phone>>()

function deliver (events: Queued[]): void {
  for (const event of events) {
    for (const phone of phones.get(event.user_id) ?? []) phone.offer(event)
  }
}

class Phone {
  readonly #socket: Socket
  readonly #userId: string
  readonly #inFlight = new Map<number, Event>()
  #nextId = 0
  #behind = true
  #reading = false

  constructor (socket: Socket, userId: string) {
    this.#socket = socket
    this.#userId = userId
    const others = phones.get(userId) ?? new Set()
    phones.set(userId, others.add(this))
    socket.once('close', () => others.delete(this))
  }

  offer (event: Event): void {
    if (this.#reading || this.#behind || this.#inFlight.size >= WINDOW) this.#behind = true
    else this.#write(event)
  }

  #write ({ seq, type, body }: Event): void {
    do this.#nextId = this.#nextId % 65_535 + 1; while (this.#inFlight.has(this.#nextId))
    this.#inFlight.set(this.#nextId, { seq, type, body })
    this.#socket.write(generate({
      cmd: 'publish',
      topic: `user/${this.#userId}/inbox`,
      qos: 1,
      messageId: this.#nextId,
      dup: false,
      retain: false,
      payload: JSON.stringify({ seq, type, ...body })
    }))
  }

  /** Sends what is queued, a window at a time. */
  async catchUp (): Promise<void> {
    if (this.#reading) return
    this.#reading = true
    while (this.#behind && this.#inFlight.size <= WINDOW / 2) {
      this.#behind = false
      const room = WINDOW - this.#inFlight.size
      const sent = [...this.#inFlight.values()].map(event => event.seq)
      const queued = await rows(pool, 'queued', QUEUED, [this.#userId, sent, room])
      for (const row of queued) this.#write({ seq: row.seq, type: row.type, body: bodyOf(row) })
      this.#behind ||= queued.length === room
    }
    this.#reading = false
  }

  async acknowledged (packetId: number): Promise<void> {
    const event = this.#inFlight.get(packetId)
    if (event === undefined) return
    await (event.type === 'new_message' ? received(this.#userId, event) : taken(this.#userId, event))
    this.#inFlight.delete(packetId)
    await this.catchUp()
  }
}

// What the queue refers to is read only for a phone that was away or is behind.
const QUEUED = `
  select q.seq::int, q.type, to_json(m) as message, to_json(c) as conversation, p.user_id, p.delivered_at
    from queue q
    join conversations c on c.id = q.conversation_id
    left join messages m on m.id = q.message_id
    left join members p on q.type = 'message_delivered' and p.conversation_id = q.conversation_id
                       and p.user_id <> q.user_id and p.last_delivered_seq >= m.seq
   where q.user_id = $1 and q.seq <> all($2)
   order by q.seq limit $3`

function bodyOf ({ type, message, conversation, user_id, delivered_at }: Record<string, any>) {
  if (type === 'new_message' || type === 'message_sent') return { message }
  if (type !== 'message_delivered') return { conversation }
  return receiptOf(message, user_id, delivered_at)
}

const receiptOf = (message: Message, userId: string, at: Date) => ({
  message_id: message.id,
  conversation_id: message.conversation_id,
  user_id: userId,
  up_to_seq: message.seq,
  delivered_at: at
})

async function taken (userId: string, event: Event): Promise<void> {
  await rows(lazy, 'taken', 'delete from queue where user_id = $1 and seq = $2', [userId, event.seq])
}

// One statement, and so one transaction.
const RECEIVED = `
  with taken as (delete from queue where user_id = $1 and seq = $2),
  marked as (
    update members set last_delivered_seq = greatest(last_delivered_seq, $4), delivered_at = $5
     where conversation_id = $3 and user_id = $1)
  insert into queue (user_id, type, conversation_id, message_id)
  select $6, 'message_delivered', $3, $7 where $6::text is not null
  returning seq::int`

async function received (userId: string, { seq, body }: Event): Promise<void> {
  const message = body.message as Message
  const sender = message.sender_user_id
  const at = new Date()
  const [receipt] = await rows(pool, 'received', RECEIVED, [
    userId, seq, message.conversation_id, message.seq, at, body.large === true ? null : sender, message.id
  ])
  if (receipt === undefined) return
  deliver([
    { user_id: sender, seq: receipt.seq, type: 'message_delivered', body: receiptOf(message, userId, at) }
  ])
}

async function enqueue (
  client: Client, users: string[], type: string, conversationId: string, messageId: string | null,
  body: object
): Promise<Queued[]> {
  const queued = await rows<{ user_id: string, seq: number }>(
    client, 'enqueue',
    `insert into queue (user_id, type, conversation_id, message_id) select unnest($1::text[]), $2, $3, $4
     returning user_id, seq::int`,
    [users, type, conversationId, messageId]
  )
  return queued.map(row => ({ type, body: body as Event['body'], ...row }))
}

// REST.

interface Message {
  id: string
  conversation_id: string
  seq: number
  sender_user_id: string
  content: string
  message_type: string
  client_message_id: string | null
  created_at: Date
}

const http = fastify()
const caller = async (authorization: string | undefined): Promise<string> =>
  await authenticate((authorization ?? '').slice('Bearer '.length))

http.post<{
  Body: { type: string, participant_ids: string[], title?: string }
}>('/api/v1/conversations', async (request, reply) => {
  const userId = await caller(request.headers.authorization)
  const { type, participant_ids: others, title } = request.body
  const users = [userId, ...others]
  const directKey = type === 'direct' ? users.toSorted().join('/') : null
  const id = uuidv7()
  const events = await transaction(async client => {
    const inserted = await rows(
      client, 'open',
      `insert into conversations (id, type, title, direct_key) values ($1, $2, $3, $4)
       on conflict do nothing returning id`,
      [id, type, title, directKey]
    )
    if (inserted.length === 0) return undefined
    await rows(
      client, 'join', 'insert into members (conversation_id, user_id) select $1, unnest($2::text[])',
      [id, users]
    )
    const body = { conversation: { id, type, title } }
    return await enqueue(client, users, 'conversation_created', id, null, body)
  })
  if (events === undefined) {
    const [found] =
      await rows(pool, 'direct', 'select id, type from conversations where direct_key = $1', [directKey])
    return found
  }
  deliver(events)
  return await reply.code(201).send({ id, type, title })
})

http.patch<{
  Params: { id: string }, Body: { title: string }
}>('/api/v1/conversations/:id', async request => {
  const userId = await caller(request.headers.authorization)
  const { params: { id }, body: { title } } = request
  const events = await transaction(async client => {
    await rows(client, 'title', 'update conversations set title = $2 where id = $1', [id, title])
    const members = await membersOf(client, id, userId)
    return await enqueue(client, members, 'conversation_updated', id, null, { conversation: { id, title } })
  })
  deliver(events)
  return { id, title }
})

http.post<{ Body: Record<string, string> }>('/api/v1/messages', async (request, reply) => {
  const userId = await caller(request.headers.authorization)
  const { conversation_id: conversationId, content, message_type: messageType } = request.body
  const members = await membersOf(pool, conversationId!, userId)
  const message: Message = {
    id: uuidv7(),
    conversation_id: conversationId!,
    seq: 0,
    sender_user_id: userId,
    content: content!,
    message_type: messageType!,
    client_message_id: request.body.client_message_id ?? null,
    created_at: new Date()
  }
  const events = await transaction(async client => {
    const [conversation] = await rows(
      client, 'number',
      `update conversations set last_seq = last_seq + 1, last_message_at = $2
        where id = $1 returning last_seq::int`,
      [conversationId, message.created_at]
    )
    message.seq = conversation.last_seq
    await rows(
      client, 'store',
      `insert into messages (id, conversation_id, seq, sender_user_id, content, message_type,
                             client_message_id, created_at)
       values ($1, $2, $3, $4, $5, $6, $7, $8)`,
      Object.values(message)
    )
    const large = members.length > MAX_MEMBERS_WITH_RECEIPTS ? { large: true } : {}
    const others = members.filter(it => it !== userId)
    const events =
      await enqueue(client, others, 'new_message', conversationId!, message.id, { message, ...large })
    // The phone that sends needs no copy of its own message.
    if (request.headers['x-device-id'] !== undefined) return events
    const copies = await enqueue(client, [userId], 'message_sent', conversationId!, message.id, { message })
    return [...events, ...copies]
  })
  deliver(events)
  return await reply.code(201).send(message)
})

async function membersOf (client: Client, conversationId: string, userId: string): Promise<string[]> {
  const members = await rows<{ user_id: string }>(
    client, 'members', 'select user_id from members where conversation_id = $1', [conversationId]
  )
  if (!members.some(member => member.user_id === userId)) throw new Error('not a participant')
  return members.map(member => member.user_id)
}

http.get<{
  Params: { id: string }, Querystring: { limit?: string, before_id?: string }
}>('/api/v1/conversations/:id/messages', async request => {
  const userId = await caller(request.headers.authorization)
  await membersOf(pool, request.params.id, userId)
  const limit = Number(request.query.limit ?? 50)
  const found = await rows(
    pool, 'history',
    `select * from messages
      where conversation_id = $1
        and ($3::uuid is null or seq < (select seq from messages where id = $3))
      order by seq desc limit $2`,
    [request.params.id, limit + 1, request.query.before_id]
  )
  return { messages: found.slice(0, limit), has_more: found.length > limit }
})

// MQTT, as far as phones use it.

const mqtt = createServer({ noDelay: true }, socket => {
  let phone: Phone | undefined
  const packets = parser()
  packets.on('packet', packet => {
    handle(packet).catch((error: unknown) => {
      socket.destroy()
      if (stopping) return
      console.error(error) // nothing that is measured after this would mean anything
      process.exit(1)
    })
  })
  socket.on('data', chunk => packets.parse(chunk))
  socket.on('error', () => {})

  async function handle (packet: Packet): Promise<void> {
    switch (packet.cmd) {
      case 'connect': {
        const userId = await authenticate(packet.password?.toString() ?? '')
        const [session] = await rows(
          pool, 'session',
          `insert into sessions as s (user_id, device_id) values ($1, $2)
           on conflict (user_id, device_id) do update set connected_at = now()
           returning s.connected_at is not null as present`,
          [userId, packet.clientId]
        )
        socket.write(generate({ cmd: 'connack', returnCode: 0, sessionPresent: session.present }))
        phone = new Phone(socket, userId)
        if (session.present) await phone.catchUp()
        break
      }
      case 'subscribe':
        socket.write(generate({ cmd: 'suback', messageId: packet.messageId!, granted: [1] }))
        await phone!.catchUp()
        break
      case 'puback': await phone!.acknowledged(packet.messageId!); break
      case 'pingreq': socket.write(generate({ cmd: 'pingresp' })); break
      default: socket.destroy()
    }
  }
})

await new Promise<void>(resolve => { mqtt.listen(0, '127.0.0.1', resolve) })
const address = await http.listen({ port: 0, host: '127.0.0.1' })
console.log(`REST ${address}/api/v1\nMQTT mqtt://127.0.0.1:${(mqtt.address() as AddressInfo).port}`)

process.once('SIGTERM', () => {
  stopping = true // what is cut off now is expected
  Promise.resolve(embedded?.[Symbol.asyncDispose]()).then(() => process.exit(0), () => process.exit(1))
})
