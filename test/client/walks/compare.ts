/** What the device shows against what a fresh snapshot shows. */
import { deepStrictEqual } from 'node:assert'
import { type Client, type ShownMessage } from '../../../client/index.ts'
import { ownMark } from '../../../client/model/unread.ts'
import { type ConversationView, type MessageView } from '../../../core/views.ts'
import { showSnapshot, type Snapshot, type Untold } from '../../model/shown.ts'

/** The read model in the shape of a snapshot. */
export function modelOf (client: Client): Snapshot {
  const conversations: ConversationView[] = []
  const histories = new Map<string, MessageView[]>()
  for (const shown of client.model.conversations()) {
    const { partner_id, typing, draft, waiting, has_older, last_message, ...view } = shown
    const mark = ownMark(client.userId, view)
    const message = (one: ShownMessage): MessageView => messageOf(one, mark)
    conversations.push({ ...view, last_message: last_message && message(last_message) })
    histories.set(view.id, client.model.messages(view.id).map(message))
  }
  return { lastSeq: NaN, conversations, histories }
}

function messageOf (
  { key, id, seq, own, tick, error, changing, ...message }: ShownMessage, mark: number
): MessageView {
  if (id === null || seq === null || changing) throw new Error(`${key} waits: ${JSON.stringify(message)}`)
  if (own && (tick === 'waiting' || tick === 'failed')) throw new Error(`${key} is ${tick}`)
  // Whether one has read what others wrote is shown by the count alone.
  const status = own ? tick as MessageView['status'] : seq <= mark ? 'read' : 'sent'
  return { ...message, id, seq, status }
}

/**
 * The list, the counts, and the newest messages; the others are a page away. Undefined when both
 * are the same, else how they differ.
 */
export function differenceOf (
  userId: string, model: Snapshot, snapshot: Snapshot, untold: Untold
): string | undefined {
  const { conversations, histories } = snapshot
  const held = new Map(conversations.map(({ id }) => {
    const messages = histories.get(id)!
    return [id, messages.slice(messages.length - (model.histories.get(id)?.length ?? 0))]
  }))
  const show = (one: Snapshot): unknown =>
    JSON.parse(JSON.stringify(showSnapshot(userId, one, untold)))
  return difference(show(model), show({ ...snapshot, histories: held }))
}

function difference (actual: unknown, expected: unknown): string | undefined {
  try {
    deepStrictEqual(actual, expected)
    return undefined
  } catch (error) {
    return `the device (+) does not show what there is (-): ${(error as Error).message}`
  }
}
