/** What the system says of itself at the end, read over REST by every user. */
import { carriesMessage, eventOf, type Event } from './event.ts'
import { type Ledger } from './ledger.ts'
import { inParallel } from './parallel.ts'
import { type Rest } from './rest.ts'

export interface HistoryMessage {
  id: string
  seq: number
  senderId: string
  clientMessageId: string | undefined
  content: string | undefined
}

export interface Evidence {
  inboxes: Map<string, { lastSeq: number, events: Event[] }>
  /** Each conversation as each participant sees it, oldest first. */
  histories: Array<{ conversationId: string, readerId: string, messages: HistoryMessage[] }>
  /** Per conversation and participant: up to where things were delivered and read. */
  marks: Map<string, Map<string, { delivered: number, read: number }>>
}

const READERS = 4
const INBOX_PAGE = 500
const HISTORY_PAGE = 200

export async function readEvidence (rest: Rest, ledger: Ledger, userIds: string[]): Promise<Evidence> {
  const evidence: Evidence = { inboxes: new Map(), histories: [], marks: new Map() }
  await inParallel(
    READERS, userIds, async userId => { evidence.inboxes.set(userId, await readInbox(rest, ledger, userId)) }
  )
  const views = [...ledger.members].flatMap(([conversationId, members]) =>
    [...members].map(readerId => ({ conversationId, readerId })))
  await inParallel(READERS, views, async ({ conversationId, readerId }) => {
    evidence.histories.push({
      conversationId, readerId, messages: await readHistory(rest, readerId, conversationId)
    })
  })
  await inParallel(READERS, [...ledger.members], async ([conversationId, members]) => {
    const { participants } = await rest.mustGet([...members][0]!, `/conversations/${conversationId}`)
    evidence.marks.set(conversationId, new Map(participants.map((p: any) =>
      [p.user_id, { delivered: p.last_delivered_seq, read: p.last_read_seq }])))
  })
  return evidence
}

async function readInbox (
  rest: Rest, ledger: Ledger, userId: string
): Promise<{ lastSeq: number, events: Event[] }> {
  const events: Event[] = []
  for (;;) {
    const page = await rest.mustGet(userId, `/inbox?limit=${INBOX_PAGE}&after=${events.at(-1)?.seq ?? 0}`)
    for (const json of page.events) events.push(ledger.intern(userId, eventOf(json)))
    if (page.has_more !== true || page.events.length === 0) return { lastSeq: page.last_seq, events }
  }
}

async function readHistory (rest: Rest, userId: string, conversationId: string): Promise<HistoryMessage[]> {
  const newestFirst: HistoryMessage[] = []
  for (let before = ''; ;) {
    const page =
      await rest.mustGet(userId, `/conversations/${conversationId}/messages?limit=${HISTORY_PAGE}${before}`)
    for (const { id, seq, sender_user_id, client_message_id, content } of page.messages) {
      newestFirst.push({
        id,
        seq,
        senderId: sender_user_id,
        clientMessageId: client_message_id ?? undefined,
        content: content ?? undefined
      })
    }
    if (page.has_more !== true) return newestFirst.reverse()
    before = `&before_id=${newestFirst.at(-1)!.id}`
  }
}

/** The messages in a log, by id of the message. */
export function messagesById (events: Event[]): Map<string, Event[]> {
  const found = new Map<string, Event[]>()
  for (const event of events) {
    if (!carriesMessage(event)) continue
    const same = found.get(event.messageId!)
    if (same === undefined) found.set(event.messageId!, [event])
    else same.push(event)
  }
  return found
}
