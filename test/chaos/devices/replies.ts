/** Answers to commands, over MQTT and JSON alike. */
import { type Ledger } from '../ledger.ts'

export function readReply (reply: any, userId: string, ledger: Ledger): void {
  const id = reply.client_message_id as string | undefined
  if (reply.type === 'accepted' && id !== undefined) {
    ledger.accepted(id, { messageId: reply.message.id, seq: reply.message.seq })
  } else if (reply.type === 'rejected') {
    ledger.incident(`${userId}: ${id} was rejected: ${JSON.stringify(reply.error)}`)
  }
}
