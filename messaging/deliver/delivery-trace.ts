/**
 * At debug level: which event was written to which device, and acknowledged.
 * Events carry no request id; the id of the message leads back to it.
 */
import { type Logger } from 'pino'
import { eventObject } from '../../core/events.ts'
import { type PumpEvent } from './pump.ts'

export interface DeliveryTrace {
  /** Events up to `ackedSeq` are acknowledged and forgotten. */
  written (events: PumpEvent[], ackedSeq: number): void
  acknowledged (seq: number): void
}

/** Undefined unless the log takes debug lines. */
export function createDeliveryTrace (
  log: Logger, device: { user_id: string, device_id: string }
): DeliveryTrace | undefined {
  if (!log.isLevelEnabled('debug')) return undefined
  /** Of the events in flight, in order. */
  const messages = new Map<number, unknown>()
  return {
    written (events, ackedSeq) {
      for (const seq of messages.keys()) {
        if (seq > ackedSeq) break
        messages.delete(seq)
      }
      for (const { seq, body } of events) {
        const { message, message_id = (message as { id?: string } | undefined)?.id } = eventObject(seq, body)
        messages.set(seq, message_id)
        log.debug({ ...device, seq, type: body.type, message_id }, 'an event is written to a device')
      }
    },
    acknowledged (seq) {
      log.debug({ ...device, seq, message_id: messages.get(seq) }, 'a device acknowledged an event')
      messages.delete(seq)
    }
  }
}
