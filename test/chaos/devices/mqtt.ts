/** A phone on MQTT, with a stored session, on any broker. */
import { type Node } from '../cluster.ts'
import { type Event } from '../event.ts'
import { type DeviceRecord, type Ledger } from '../ledger.ts'
import { type Random } from '../random.ts'
import { type DeviceDoor } from './device.ts'
import { KeptLog, type OnEvent } from './kept-log.ts'
import { MqttConnection } from './mqtt-connection.ts'
import { readReply } from './replies.ts'

export interface MqttDoorOptions {
  record: DeviceRecord
  token: string
  brokers: Node[]
  random: Random
  ledger: Ledger
  ackDelayMs?: number
  onEvent?: OnEvent
}

export function mqttDoor (
  { record, token, brokers, random, ledger, ackDelayMs = 0, onEvent }: MqttDoorOptions
): DeviceDoor {
  const { userId, deviceId } = record
  const log = new KeptLog(record, ledger, onEvent)
  let subscribed = false

  async function open (): Promise<MqttConnection> {
    const events: Event[] = []
    let connection: MqttConnection | undefined
    try {
      connection = await MqttConnection.open({
        port: random.pick(brokers).mqttPort,
        userId,
        deviceId,
        token,
        ackDelayMs,
        onMessage: (topic, payload) => receive(topic, payload, events)
      })
      record.connections.push(events)
      // A session is there from its first CONNECT on, although the SUBSCRIBE may not have come.
      if (connection.sessionPresent && subscribed) return connection
      if (subscribed) ledger.incident(`${userId}/${deviceId}: the stored session was forgotten`)
      await connection.subscribe(`user/${userId}/#`)
      subscribed = true
      return connection
    } catch (error) {
      connection?.vanish()
      // A database that is away is told by 3; anything else is wrong here.
      const code = /refused with (\d+)/.exec((error as Error).message)?.[1]
      if (code !== undefined && code !== '3') {
        ledger.incident(`${userId}/${deviceId}: CONNECT was refused with ${code}`)
      }
      throw error
    }
  }

  function receive (topic: string, payload: Buffer, events: Event[]): void {
    const json = JSON.parse(payload.toString())
    if (topic === `user/${userId}/inbox`) log.take(json, events)
    else if (topic === `user/${userId}/replies`) readReply(json, userId, ledger)
    else if (topic !== `user/${userId}/live`) {
      ledger.incident(`${userId}/${deviceId}: received on ${topic}`)
    }
  }

  return {
    kind: 'mqtt',
    takesCommands: true,
    get newest () { return log.newest },
    open,
    caughtUp: end => log.caughtUp(end),
    counts: () => log.counts()
  }
}
