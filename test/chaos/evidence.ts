/** What the system says of itself at the end, read over REST by every user. */
import { type TakenPush } from '../../tools/fake-fcm/server.ts'
import { download } from './attachments.ts'
import { carriesMessage, eventOf, type Event } from './event.ts'
import { grouped } from './grouped.ts'
import { type Ledger } from './ledger.ts'
import { inParallel } from './parallel.ts'
import { type Rest } from './rest.ts'

export interface HistoryMessage {
  id: string
  seq: number
  senderId: string
  clientMessageId: string | undefined
  content: string | undefined
  attachmentIds: string[]
  /** `user emoji`. */
  reactions: string[]
  deleted: boolean
}

export interface Evidence {
  inboxes: Map<string, { lastSeq: number, events: Event[] }>
  /** Each conversation as each participant sees it, oldest first. */
  histories: Array<{ conversationId: string, readerId: string, messages: HistoryMessage[] }>
  /** Per conversation and participant: up to where things were delivered and read. */
  marks: Map<string, Map<string, Marks>>
  /** By attachment and participant: the SHA-256 of what was read, or what was answered instead. */
  downloads: Map<string, string>
  /** Users whose accepted erasure did not come to its end. */
  unerased: ReadonlySet<string>
  /** What the stand-in for FCM took, oldest first. */
  pushes: TakenPush[]
}

export interface Marks { delivered: number, read: number }

const READERS = 4
const INBOX_PAGE = 500
const HISTORY_PAGE = 200
const PARTICIPANT_PAGE = 100

export async function readEvidence (
  rest: Rest, ledger: Ledger, userIds: string[]
): Promise<Omit<Evidence, 'unerased' | 'pushes'>> {
  const evidence: Omit<Evidence, 'unerased' | 'pushes'> =
    { inboxes: new Map(), histories: [], marks: new Map(), downloads: new Map() }
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
    evidence.marks.set(conversationId, await readMarks(rest, [...members][0]!, conversationId))
  })
  const files = [...ledger.sends.values()].flatMap(({ attachmentId, conversationId }) =>
    attachmentId === undefined
      ? []
      : [...ledger.members.get(conversationId)!].map(userId => ({ attachmentId, userId })))
  await inParallel(READERS, files, async ({ attachmentId, userId }) => {
    evidence.downloads.set(`${attachmentId} ${userId}`, await download(rest, userId, attachmentId))
  })
  return evidence
}

// In pages: of a large conversation the view shows oneself alone.
async function readMarks (rest: Rest, userId: string, conversationId: string): Promise<Map<string, Marks>> {
  const marks = new Map<string, Marks>()
  for (let cursor = ''; ;) {
    const { participants, next_cursor } = await rest.mustGet(
      userId, `/conversations/${conversationId}/participants?limit=${PARTICIPANT_PAGE}${cursor}`
    )
    for (const { user_id, last_delivered_seq, last_read_seq } of participants) {
      marks.set(user_id, { delivered: last_delivered_seq, read: last_read_seq })
    }
    if (next_cursor === null) return marks
    cursor = `&cursor=${encodeURIComponent(next_cursor)}`
  }
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
    for (const message of page.messages) {
      newestFirst.push({
        id: message.id,
        seq: message.seq,
        senderId: message.sender_user_id,
        clientMessageId: message.client_message_id ?? undefined,
        content: message.content ?? undefined,
        attachmentIds: message.attachments.map(({ id }: { id: string }) => id),
        reactions: message.reactions.map((by: any) => `${by.user_id} ${by.emoji}`),
        deleted: message.deleted_at !== null
      })
    }
    if (page.has_more !== true) return newestFirst.reverse()
    before = `&before_id=${newestFirst.at(-1)!.id}`
  }
}

/** The messages in a log, by id of the message. */
export const messagesById = (events: Event[]): Map<string, Event[]> =>
  grouped(events.filter(carriesMessage), ({ messageId }) => messageId!)
