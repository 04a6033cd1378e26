/**
 * The yardsticks of what cannot be left out. Both answer and forward from memory, with no token check and
 * hardly a byte looked at. `in-memory` has no database: what the benchmark reaches with it is what the
 * generator can do. `floor` stores in sets before it answers (floor-store.ts). Not part of Echo.
 */
import { createServer, type AddressInfo, type Socket } from 'node:net'
import { generate, parser, type Packet } from 'mqtt-packet'
import { startFloorStore } from './floor-store.ts'

interface Draft { conversation_id: string, content: string }
interface Pending { sender: string, text: string }

const phones = new Map<string, Socket>()
const sockets = new WeakMap<Socket, { userId: string, nextId: number, inFlight: Map<number, Pending> }>()
const conversations = new Map<string, { id: string, members: string[], lastSeq: number }>()
let lastEvent = 0
const url = process.env.DATABASE_URL
const store = url === undefined || url === '' ? undefined : await startFloorStore(url)

/** A yardstick that fails ends. */
function fail (error: unknown): never {
  throw error
}

const http = createServer({ noDelay: true }, socket => {
  let text = ''
  socket.setEncoding('latin1')
  socket.on('error', () => {})
  socket.on('data', chunk => {
    text += chunk as unknown as string
    const head = text.indexOf('\r\n\r\n')
    if (head < 0) return
    const length = Number(/content-length: (\d+)/.exec(text)![1])
    if (text.length < head + 4 + length) return
    const body = JSON.parse(text.slice(head + 4, head + 4 + length))
    const claims = /Bearer [^.]+\.([^.]+)/.exec(text)![1]!
    const userId = JSON.parse(Buffer.from(claims, 'base64url').toString()).sub as string
    text = ''
    answer(socket, userId, body).catch(fail)
  })
})

async function answer (socket: Socket, userId: string, body: Record<string, any>): Promise<void> {
  const result = body.participant_ids === undefined
    ? await send(userId, body as Draft)
    : open(userId, body.participant_ids)
  const json = JSON.stringify(result)
  socket.write(`HTTP/1.1 201 Created\r\ncontent-length: ${json.length}\r\n\r\n${json}`)
}

function open (userId: string, others: string[]) {
  const members = [userId, ...others].toSorted()
  const id = members.join('/')
  if (!conversations.has(id)) conversations.set(id, { id, members, lastSeq: 0 })
  return { id }
}

async function send (userId: string, { conversation_id: id, content }: Draft) {
  const conversation = conversations.get(id)!
  await store?.message([userId, ...conversation.members.filter(member => member !== userId)], content)
  const seq = ++conversation.lastSeq
  const message = { id: `${id}/${seq}`, conversation_id: id, seq, sender_user_id: userId, content }
  for (const member of conversation.members) {
    if (member !== userId) deliver(member, { type: 'new_message', message })
  }
  return message
}

function deliver (userId: string, event: Record<string, any>): void {
  const socket = phones.get(userId)!
  const phone = sockets.get(socket)!
  phone.nextId = phone.nextId % 65_535 + 1
  const text = JSON.stringify({ seq: ++lastEvent, ...event })
  phone.inFlight.set(phone.nextId, { sender: event.message?.sender_user_id, text })
  socket.write(generate({
    cmd: 'publish',
    topic: `user/${userId}/inbox`,
    qos: 1,
    messageId: phone.nextId,
    dup: false,
    retain: false,
    payload: text
  }))
}

async function acknowledged (socket: Socket, packetId: number): Promise<void> {
  const phone = sockets.get(socket)!
  const pending = phone.inFlight.get(packetId)!
  phone.inFlight.delete(packetId)
  if (pending.sender === undefined) return
  const { message } = JSON.parse(pending.text)
  await store?.receipt([pending.sender, phone.userId])
  deliver(pending.sender, {
    type: 'message_delivered',
    conversation_id: message.conversation_id,
    message_id: message.id,
    up_to_seq: message.seq
  })
}

const mqtt = createServer({ noDelay: true }, socket => {
  const packets = parser()
  socket.on('data', chunk => packets.parse(chunk))
  socket.on('error', () => {})
  packets.on('packet', (packet: Packet) => {
    if (packet.cmd === 'connect') {
      phones.set(packet.username!, socket)
      sockets.set(socket, { userId: packet.username!, nextId: 0, inFlight: new Map() })
      socket.write(generate({ cmd: 'connack', returnCode: 0, sessionPresent: false }))
    } else if (packet.cmd === 'subscribe') {
      socket.write(generate({ cmd: 'suback', messageId: packet.messageId!, granted: [1] }))
    } else if (packet.cmd === 'puback') {
      acknowledged(socket, packet.messageId!).catch(fail)
    }
  })
})

await new Promise<void>(resolve => { http.listen(0, '127.0.0.1', resolve) })
await new Promise<void>(resolve => { mqtt.listen(0, '127.0.0.1', resolve) })
const port = (server: typeof http): number => (server.address() as AddressInfo).port
console.log(`REST http://127.0.0.1:${port(http)}/api/v1\nMQTT mqtt://127.0.0.1:${port(mqtt)}`)
process.once('SIGTERM', () => process.exit(0))
