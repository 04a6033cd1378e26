/** Files that went with messages. */
import { type Evidence } from '../evidence.ts'
import { type Ledger } from '../ledger.ts'

export function * attachmentsKept (
  { sends, members, uploads }: Ledger, { histories, downloads }: Evidence
): Generator<string> {
  for (const { attachmentId, acceptances, conversationId, clientMessageId } of sends.values()) {
    if (attachmentId === undefined || acceptances.length === 0) continue
    for (const userId of members.get(conversationId)!) {
      const read = downloads.get(`${attachmentId} ${userId}`)
      if (read !== uploads.get(attachmentId)) {
        yield `${userId} does not get the file of ${clientMessageId} (${attachmentId}): ${read}`
      }
    }
  }
  for (const { readerId, messages } of histories) {
    for (const { clientMessageId, attachmentIds, id } of messages) {
      const wanted = sends.get(clientMessageId ?? '')?.attachmentId
      if (attachmentIds.join(' ') !== (wanted ?? '')) {
        yield `${readerId} reads ${id} with [${attachmentIds.join(', ')}], it was sent with [${wanted ?? ''}]`
      }
    }
  }
}
