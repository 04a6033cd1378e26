/**
 * The yardstick of the load generator: answers and forwards from memory, with
 * no database, no token check and hardly a byte looked at. What the benchmark
 * reaches with it is what the generator can do. Not part of Echo.
 */
import { createServer, type AddressInfo, type Socket } from 'node:net'
import { generate, parser, type Packet } from 'mqtt-packet'

interface Pending { sender: string, text: string }

const phones = new Map<string, Socket>()
const sockets = new WeakMap<Socket, { userId: string, nextId: number, inFlight: Map<number, Pending> }>()
const conversations = new Map<string, { id: string, members: string[], lastSeq: number }>()
let lastEvent = 0

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
    const answer = JSON.stringify(
      body.participant_ids === undefined ? send(userId, body) : open(userId, body.participant_ids)
    )
    socket.write(`HTTP/1.1 201 Created\r\ncontent-length: ${answer.length}\r\n\r\n${answer}`)
  })
})

function open (userId: string, others: string[]) {
  const members = [userId, ...others].toSorted()
  const id = members.join('/')
  if (!conversations.has(id)) conversations.set(id, { id, members, lastSeq: 0 })
  return { id }
}

function send (userId: string, draft: { conversation_id: string, content: string }) {
  const { conversation_id: id, content } = draft
  const conversation = conversations.get(id)!
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

function acknowledged (socket: Socket, packetId: number): void {
  const phone = sockets.get(socket)!
  const pending = phone.inFlight.get(packetId)!
  phone.inFlight.delete(packetId)
  if (pending.sender === undefined) return
  const { message } = JSON.parse(pending.text)
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
      acknowledged(socket, packet.messageId!)
    }
  })
})

await new Promise<void>(resolve => { http.listen(0, '127.0.0.1', resolve) })
await new Promise<void>(resolve => { mqtt.listen(0, '127.0.0.1', resolve) })
const port = (server: typeof http): number => (server.address() as AddressInfo).port
console.log(`REST http://127.0.0.1:${port(http)}/api/v1\nMQTT mqtt://127.0.0.1:${port(mqtt)}`)
process.once('SIGTERM', () => process.exit(0))
