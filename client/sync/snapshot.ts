/** The list of conversations, and the place in the log from which events continue it. */
import { copyOf } from '../model/copy.ts'
import { afterSnapshot } from '../outbox/outcomes.ts'
import { type Rest } from '../rest.ts'
import { type Saved } from '../state/saved.ts'
import { type Conversation, type ConversationPage } from '../wire/views.ts'

/** As many as the server gives in one answer. */
const PAGE = 1_000

export interface Snapshot { epoch: string, seq: number, conversations: Conversation[] }

export async function fetchSnapshot ({ request }: Pick<Rest, 'request'>): Promise<Snapshot> {
  const conversations = new Map<string, Conversation>()
  let first: ConversationPage | undefined
  for (let cursor: string | null = ''; cursor !== null;) {
    const after: string = cursor === '' ? '' : `&cursor=${encodeURIComponent(cursor)}`
    const page: ConversationPage = await request('GET', `/conversations?limit=${PAGE}${after}`)
    // The server read the end of the log before this page: what changed since comes as an event.
    first ??= page
    for (const conversation of page.conversations) conversations.set(conversation.id, conversation)
    cursor = page.next_cursor
  }
  const { epoch, last_seq } = first!.inbox
  return { epoch, seq: last_seq, conversations: [...conversations.values()] }
}

/** The outbox stays: what the snapshot does not have is sent again. */
export function withSnapshot (saved: Saved, { epoch, seq, conversations }: Snapshot): Saved {
  const copy = copyOf(saved.copy.userId, conversations)
  return { ...saved, place: { epoch, seq }, copy, outbox: afterSnapshot(saved.outbox, copy) }
}
