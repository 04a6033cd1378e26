/**
 * Pairs of users: one sends over REST, the other's device receives over MQTT and
 * acknowledges. A message counts when the sender's inbox says that the
 * acknowledgement was recorded: REST → commit → device → PUBACK → receipt.
 */
import { Agent, request } from 'node:http'
import mqtt from 'mqtt'
import { type Server } from './server.ts'

export interface Pair {
  /** Sends one message; resolves when the response (201) is there. */
  send (): Promise<void>
  /** Latencies in milliseconds of all messages so far. */
  toDevice: number[]
  toReceipt: number[]
  /** Messages whose receipt has not come yet. */
  waiting (): number
  end (): Promise<void>
}

interface InboxEvent { type: string, up_to_seq?: number, message?: { seq: number, sender_user_id: string } }

export async function openPair (server: Server, index: number): Promise<Pair> {
  const [sender, receiver] = [`sender-${index}`, `receiver-${index}`]
  const [senderToken, receiverToken] = await Promise.all([server.token(sender), server.token(receiver)])
  const agent = new Agent({ keepAlive: true, maxSockets: 256 })
  const conversation = await post(
    agent, `${server.api}/conversations`, senderToken, { type: 'direct', participant_ids: [receiver] }
  )
  const startedAt = new Map<number, number>() // by message seq; events may come before the response
  const early = new Map<number, Array<(startedAt: number) => void>>()
  const toDevice: number[] = []
  const toReceipt: number[] = []
  let receipted = 0
  let sent = 0

  function measure (seq: number, into: number[]): void {
    const now = performance.now()
    const at = startedAt.get(seq)
    if (at !== undefined) into.push(now - at)
    else early.set(seq, [...early.get(seq) ?? [], started => into.push(now - started)])
  }

  const phones = await Promise.all([
    openPhone(server, receiver, receiverToken, event => {
      if (event.type === 'new_message') measure(event.message!.seq, toDevice)
    }),
    openPhone(server, sender, senderToken, event => {
      if (event.type !== 'message_delivered') return
      while (receipted < event.up_to_seq!) measure(++receipted, toReceipt)
    })
  ])

  return {
    toDevice,
    toReceipt,
    waiting: () => sent - receipted,
    async send () {
      const at = performance.now()
      const message = await post(agent, `${server.api}/messages`, senderToken, {
        conversation_id: conversation.id,
        content:
          'the quick brown fox jumps over the lazy dog',
        message_type: 'text'
      })
      const seq = message.seq as number
      sent = Math.max(sent, seq)
      startedAt.set(seq, at)
      for (const note of early.get(seq) ?? []) note(at)
      early.delete(seq)
    },
    async end () {
      await Promise.all(phones.map(phone => phone.endAsync()))
      agent.destroy()
    }
  }
}

async function openPhone (
  server: Server, userId: string, token: string, onEvent: (event: InboxEvent) => void
): Promise<mqtt.MqttClient> {
  const phone = await mqtt.connectAsync({
    port: server.mqttPort,
    clientId: `${userId}-phone`,
    username: userId,
    password: token,
    clean: false,
    protocolVersion: 4
  })
  phone.on('message', (_topic, payload) => onEvent(JSON.parse(payload.toString())))
  await phone.subscribeAsync(`user/${userId}/inbox`, { qos: 1 })
  return phone
}

async function post (
  agent: Agent, url: string, token: string, body: object
): Promise<Record<string, unknown>> {
  return await new Promise((resolve, reject) => {
    const outgoing = request(url, {
      method: 'POST', agent, headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' }
    }, response => {
      let text = ''
      response.setEncoding('utf8').on('data', chunk => { text += chunk }).on('end', () => {
        if (response.statusCode! < 300) resolve(JSON.parse(text))
        else reject(new Error(`${response.statusCode}: ${text}`))
      }).on('error', reject)
    })
    outgoing.on('error', reject).end(JSON.stringify(body))
  })
}
