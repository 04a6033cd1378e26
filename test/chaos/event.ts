/** What of an inbox event must be the same for every device and every reading of the log. */
export interface Event {
  seq: number
  epoch: string
  type: string
  conversationId: string | undefined
  messageId: string | undefined
  /** Position in the conversation. */
  messageSeq: number | undefined
  senderId: string | undefined
  clientMessageId: string | undefined
  content: string | undefined
  /** Their ids. */
  attachments: string | undefined
  /** Of a reaction. */
  emoji: string | undefined
  reactedBy: string | undefined
  /** Of a receipt: its recipient or reader, and up to where. */
  receiptOf: string | undefined
  upToSeq: number | undefined
}

/** Reads an event as it comes over MQTT or REST. A message's `status` is left out: it is of the moment. */
export function eventOf (json: any): Event {
  const message = json.message
  return {
    seq: json.seq,
    epoch: json.epoch,
    type: json.type,
    conversationId: message?.conversation_id ?? json.conversation_id ?? json.conversation?.id,
    messageId: message?.id ?? json.message_id,
    messageSeq: message?.seq,
    senderId: message?.sender_user_id,
    clientMessageId: message?.client_message_id ?? undefined,
    content: message?.content ?? undefined,
    attachments: message?.attachments?.map(({ id }: { id: string }) => id).join(' ') || undefined,
    emoji: json.emoji,
    reactedBy: json.emoji === undefined ? undefined : json.user_id,
    receiptOf: json.reader_id ?? (json.type === 'message_delivered' ? json.user_id : undefined),
    upToSeq: json.up_to_seq
  }
}

export const carriesMessage = ({ type }: Pick<Event, 'type'>): boolean =>
  type === 'new_message' || type === 'message_sent'

/** What an edit changes, and what an erasure takes: a log is rendered when it is read. */
export const EDITED: Array<keyof Event> = ['content']
export const ERASED: Array<keyof Event> = ['content', 'clientMessageId', 'attachments']

export function sameEvent (a: Event, b: Event, except: Array<keyof Event> = []): boolean {
  return (Object.keys(a) as Array<keyof Event>).every(key => a[key] === b[key] || except.includes(key))
}

export const describeEvent = ({ seq, type, conversationId, messageId, clientMessageId }: Event): string =>
  `seq ${seq} ${type} conversation ${conversationId} message ${messageId}` +
  (clientMessageId === undefined ? '' : ` (${clientMessageId})`)
