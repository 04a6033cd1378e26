/** Which events of a log a door shows. */
import { type Event } from '../event.ts'
import { type DoorKind } from './device.ts'

const isJson = (door: DoorKind): boolean => door === 'json-acks' || door === 'json-pongs'

/** Those of the user's devices that acknowledge: only they deliver. */
export const isTracked = (door: DoorKind): boolean => door === 'mqtt' || isJson(door)

const TOLD_OVER_GRPC = new Set(['new_message', 'message_sent', 'message_edited', 'message_deleted'])

export function isShown (door: DoorKind, { type }: Pick<Event, 'type'>): boolean {
  if (isJson(door)) return type !== 'message_sent'
  return door !== 'grpc' || TOLD_OVER_GRPC.has(type)
}

/** The seq that comes after `seq` at this door, in a dense log from seq 1 on; undefined: none. */
export function nextShown (log: Event[], seq: number, door: DoorKind): number | undefined {
  for (let next = seq; next < log.length; next++) {
    if (isShown(door, log[next]!)) return log[next]!.seq
  }
  return undefined
}
