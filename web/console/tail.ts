/** What mosquitto_sub would show an administrator of one user: copies of the inbox and of what is live. */
import mqtt, { type MqttClient } from 'mqtt'
import { claimsOf } from '../settings.ts'

export interface Copied { id: number, at: string, topic: string, payload: string }

export interface Tail { close (): void }

export function openTail ({ url, token, userId, onCopy, onState }: {
  url: string
  token: string
  userId: string
  onCopy: (copied: Copied) => void
  onState: (state: 'connecting' | 'watching' | 'refused') => void
}): Tail {
  let copies = 0
  const client: MqttClient = mqtt.connect(url, {
    protocolVersion: 4,
    clean: true,
    clientId: `console-${Math.random().toString(36).slice(2, 10)}`,
    username: claimsOf(token)?.sub,
    password: token,
    reconnectPeriod: 2_000,
    resubscribe: false
  })
  onState('connecting')
  client.on('connect', () => {
    client.subscribe([`user/${userId}/inbox`, `user/${userId}/live`], { qos: 0 }, error =>
      onState(error == null ? 'watching' : 'refused'))
  })
  client.on('message', (topic, payload) => onCopy({
    id: ++copies, at: new Date().toISOString(), topic, payload: new TextDecoder().decode(payload)
  }))
  client.on('close', () => onState('connecting'))
  client.on('error', () => onState('refused'))
  return { close: () => { client.end(true) } }
}
