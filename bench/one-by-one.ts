/**
 * The yardstick: the same flow done statement by statement for each message.
 *
 * A careful straightforward server: one transaction per message, Aedes's own
 * publish and persistence for delivery, one transaction per acknowledgement.
 * Same schema, same guarantees at commit, same REST and MQTT surface as far as
 * the benchmark uses it. Not part of Echo.
 */
import { Aedes } from 'aedes'
import fastify from 'fastify'
import { createServer, type AddressInfo } from 'node:net'
import pg from 'pg'
import pino from 'pino'
import { uuidv7 } from 'uuidv7'
import { createAuthentication } from '../messaging/access/authentication.ts'
import { migrate } from '../migrations/migrate.ts'
import { openDatabase } from '../store/database.ts'
import { startEmbeddedPostgres } from '../store/embedded-postgres/start.ts'
import { ensureUsers } from '../store/people/users.ts'

const postgres = await startEmbeddedPostgres({ dataDir: process.env.DATA_DIR!, log: pino({ level: 'warn' }) })
await migrate(postgres.url)
let stopping = false
const pool = new pg.Pool({ connectionString: postgres.url, max: 16 })
pool.on('error', () => {}) // the database is stopped before this process
const database = openDatabase(postgres.url, () => {})
const authentication = createAuthentication({
  key: { kind: 'secret', secret: new TextEncoder().encode(process.env.JWT_SECRET) }
}, {
  database, meet: ({ userId }) => ensureUsers(database.autocommit, [userId])
})

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

async function appendEvent (
  client: pg.PoolClient, userId: string, type: string, conversationId: string, messageId: string,
  data: object | null
): Promise<number> {
  const { rows: [user] } = await client.query(
    'update users set inbox_seq = inbox_seq + 1 where id = $1 returning inbox_seq', [userId]
  )
  await client.query(
    'insert into inbox_events (user_id, seq, type, conversation_id, message_id, data, created_at) values ($1, $2, $3, $4, $5, $6, now())',
    [userId, user.inbox_seq, type, conversationId, messageId, data])
  return Number(user.inbox_seq)
}

const aedes = await Aedes.createBroker({
  concurrency: 10_000,
  authenticate: (_client, username, password, done) => {
    authentication.authenticate(password?.toString() ?? '')
      .then(identity => done(null, identity.userId === username), () => done(null, false))
  }
})

const deliver = (userId: string, event: object): void =>
  aedes.publish({
    cmd: 'publish',
    topic: `user/${userId}/inbox`,
    qos: 1,
    payload: JSON.stringify(event),
    retain: false,
    dup: false
  }, () => {})

const http = fastify()

http.post<{ Body: { participant_ids: string[] } }>('/api/v1/conversations', async (request, reply) => {
  const { userId } = await authentication.authenticate(request.headers.authorization!.slice('Bearer '.length))
  const id = uuidv7()
  await transaction(async client => {
    await client.query(
      'insert into conversations (id, type, last_activity_at) values ($1, $2, now())', [id, 'direct']
    )
    for (const user of [userId, ...request.body.participant_ids]) {
      await client.query('insert into users (id) values ($1) on conflict do nothing', [user])
      await client.query(
        'insert into conversation_participants (conversation_id, user_id, joined_at, joined_seq) values ($1, $2, now(), 0)',
        [id, user]
      )
    }
  })
  return await reply.code(201).send({ id })
})

http.post<{
  Body: { conversation_id: string, content: string, message_type: string }
}>('/api/v1/messages', async (request, reply) => {
  const { userId } = await authentication.authenticate(request.headers.authorization!.slice('Bearer '.length))
  const { conversation_id: conversationId, content, message_type: type } = request.body
  const id = uuidv7()
  const created = new Date()
  const { message, events } = await transaction(async client => {
    const { rows: [conversation] } = await client.query(
      'select last_seq from conversations where id = $1 for no key update', [conversationId]
    )
    const { rows: members } = await client.query(
      'select user_id from conversation_participants where conversation_id = $1 and left_at is null order by user_id',
      [conversationId]
    )
    if (!members.some(member => member.user_id === userId)) throw new Error('not a participant')
    const seq = Number(conversation.last_seq) + 1
    await client.query(
      'insert into messages (id, conversation_id, seq, sender_user_id, content, message_type, created_at) values ($1, $2, $3, $4, $5, $6, $7)',
      [id, conversationId, seq, userId, content, type, created])
    await client.query(
      'update conversations set last_seq = $2, last_message_id = $3, last_message_at = $4, last_activity_at = $4, message_count = message_count + 1 where id = $1',
      [conversationId, seq, id, created]
    )
    const events = []
    for (const { user_id: member } of members) {
      const type = member === userId ? 'message_sent' : 'new_message'
      events.push({ member, type, seq: await appendEvent(client, member, type, conversationId, id, null) })
    }
    return {
      message: {
        id,
        conversation_id: conversationId,
        seq,
        sender_user_id: userId,
        content,
        message_type: type,
        created_at: created
      },
      events
    }
  })
  for (const { member, type, seq } of events) deliver(member, { seq, type, message })
  return await reply.code(201).send(message)
})

aedes.on('ack', (packet, client) => {
  if (packet === undefined || !('payload' in packet)) return
  const event = JSON.parse(packet.payload.toString())
  if (event.type === 'new_message') {
    acknowledge(
      packet.topic.split('/')[1]!, client.id, event
    ).catch((error: unknown) => { if (!stopping) console.error(error) })
  }
})

async function acknowledge (userId: string, deviceId: string, { seq, message }: {
  seq: number, message: { id: string, conversation_id: string, seq: number, sender_user_id: string }
}): Promise<void> {
  const at = new Date()
  const inboxSeq = await transaction(async client => {
    await client.query('select id from users where id = any($1::text[]) order by id for no key update', [
      [userId, message.sender_user_id]
    ])
    await client.query('update users set acked_seq = greatest(acked_seq, $2) where id = $1', [userId, seq])
    await client.query(
      'insert into devices (user_id, device_id, acked_seq) values ($1, $2, $3) on conflict (user_id, device_id) do update set acked_seq = greatest(devices.acked_seq, excluded.acked_seq), last_seen_at = now()',
      [userId, deviceId, seq]
    )
    await client.query(
      'update conversation_participants set last_delivered_seq = greatest(last_delivered_seq, $3) where conversation_id = $1 and user_id = $2',
      [message.conversation_id, userId, message.seq]
    )
    await client.query(
      'insert into delivery_status (conversation_id, user_id, status, up_to_seq, at) values ($1, $2, $3, $4, $5) on conflict do nothing',
      [message.conversation_id, userId, 'delivered', message.seq, at]
    )
    await client.query('delete from push_due where user_id = $1', [userId])
    return await appendEvent(
      client, message.sender_user_id, 'message_delivered', message.conversation_id, message.id,
      { user_id: userId, up_to_seq: message.seq }
    )
  })
  deliver(message.sender_user_id, { seq: inboxSeq, type: 'message_delivered', up_to_seq: message.seq })
}

const mqtt = createServer(aedes.handle)
await new Promise<void>(resolve => { mqtt.listen(0, '127.0.0.1', resolve) })
const address = await http.listen({ port: 0, host: '127.0.0.1' })
console.log(`REST ${address}/api/v1\nMQTT mqtt://127.0.0.1:${(mqtt.address() as AddressInfo).port}`)

process.once('SIGTERM', () => {
  stopping = true // transactions that are cut off now interest nobody
  postgres[Symbol.asyncDispose]().then(() => process.exit(0), () => process.exit(1))
})
