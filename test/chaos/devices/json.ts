/** A device on the JSON WebSocket of any broker: one that sends `ack`, or one that only answers pings. */
import { type Node } from '../cluster.ts'
import { type Event } from '../event.ts'
import { type DeviceRecord, type Ledger } from '../ledger.ts'
import { type Random } from '../random.ts'
import { type DeviceDoor } from './device.ts'
import { JsonConnection } from './json-connection.ts'
import { KeptLog } from './kept-log.ts'
import { readReply } from './replies.ts'

export interface JsonDoorOptions {
  record: DeviceRecord
  token: string
  brokers: Node[]
  random: Random
  ledger: Ledger
  ackDelayMs: number
}

/** Frames without a place in the log. */
const LIVE = new Set(['typing', 'presence', 'draft'])
/** What a client does nothing to bring about: rules that it breaks, tokens that do not hold, floods. */
const WRONG = new Set([1002, 1003, 1007, 1008, 1009, 1011, 4401, 4429])

export function jsonDoor (
  { record, token, brokers, random, ledger, ackDelayMs }: JsonDoorOptions
): DeviceDoor {
  const { userId, deviceId, door } = record
  const log = new KeptLog(record, ledger)

  async function open (): Promise<JsonConnection> {
    const events: Event[] = []
    try {
      const connection = await JsonConnection.open({
        port: random.pick(brokers).wsPort,
        deviceId,
        token,
        ackDelayMs,
        onFrame: frame => receive(frame, events),
        onEnd (code, reason) {
          if (WRONG.has(code)) ledger.incident(`${userId}/${deviceId}: closed with ${code} ${reason}`)
        }
      })
      record.connections.push(events)
      return connection
    } catch (error) {
      const status = /refused with (\d+)/.exec((error as Error).message)?.[1]
      if (status !== undefined && status !== '503') {
        ledger.incident(`${userId}/${deviceId}: the upgrade was refused with ${status}`)
      }
      throw error
    }
  }

  function receive (frame: any, events: Event[]): number | undefined {
    if (frame.seq !== undefined) {
      const { seq } = log.take(frame, events)
      return door === 'json-acks' ? seq : undefined
    }
    if (frame.type === 'accepted' || frame.type === 'rejected') readReply(frame, userId, ledger)
    else if (!LIVE.has(frame.type)) ledger.incident(`${userId}/${deviceId}: received ${frame.type}`)
    return undefined
  }

  return {
    kind: door,
    takesCommands: true,
    get newest () { return log.newest },
    open,
    caughtUp: end => log.caughtUp(end),
    counts: () => log.counts()
  }
}
