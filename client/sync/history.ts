/** Pages of the messages before those that are held, for readers and for counts that need them. */
import { delayMs, type Backoff } from '../connection/backoff.ts'
import { EchoError } from '../errors.ts'
import { put } from '../model/apply.ts'
import { oldestHeld, withOlder } from '../model/window.ts'
import { withoutHeld } from '../outbox/outcomes.ts'
import { type Rest } from '../rest.ts'
import { type Keeper } from '../state/keeper.ts'
import { type InboxEvent } from '../wire/events.ts'
import { type MessagePage } from '../wire/views.ts'

const READING_PAGE = 50
/** A count is made certain with pages of this size, and at most so many. */
const COUNTING_PAGE = 200
const MAX_COUNTING_PAGES = 5

export interface History {
  /** Resolves to whether there are more before them. */
  loadOlder (conversationId: string, limit?: number): Promise<boolean>
  /** Events that are about to be applied: a page that is on its way may be older. */
  applying (events: InboxEvent[]): void
  /** A snapshot is about to take the place of the copy: pages that are on their way may be older. */
  restarting (): void
  /** Events were applied: counts may be uncertain now. */
  applied (): void
  connected (): void
  disconnected (): void
}

export interface HistoryDeps {
  keeper: Keeper
  rest: Pick<Rest, 'request'>
  backoff: Backoff
  random (): number
}

export function createHistory ({ keeper, rest, backoff, random }: HistoryDeps): History {
  const underWay = new Set<InboxEvent[]>()
  /** One page at a time for each conversation. */
  const loading = new Map<string, Promise<boolean>>()
  let isConnected = false
  let counting = false

  async function load (conversationId: string, limit: number): Promise<boolean> {
    const conversation = keeper.saved.copy.conversations.get(conversationId)
    if (conversation === undefined || conversation.held_from === 0) return false
    const before = oldestHeld(conversation)
    const meanwhile: InboxEvent[] = []
    underWay.add(meanwhile)
    try {
      const from = before === undefined ? '' : `&before_id=${before.id}`
      const path = `/conversations/${conversationId}/messages?limit=${limit}${from}`
      const page = await rest.request<MessagePage>('GET', path)
      await keeper.commit(saved => {
        const held = saved.copy.conversations.get(conversationId)
        // A snapshot or a new stay has begun another window.
        if (!underWay.has(meanwhile)) return saved
        if (held?.held_from !== conversation.held_from || oldestHeld(held)?.id !== before?.id) return saved
        const copy = put(saved.copy, withOlder(saved.copy.userId, held, page, meanwhile))
        return { ...saved, copy, outbox: withoutHeld(saved.outbox, copy) }
      })
      return page.has_more
    } finally {
      underWay.delete(meanwhile)
    }
  }

  function loadOlder (conversationId: string, limit = READING_PAGE): Promise<boolean> {
    const present = loading.get(conversationId)
    if (present !== undefined) return present
    const page = load(conversationId, limit).finally(() => loading.delete(conversationId))
    loading.set(conversationId, page)
    return page
  }

  function wake (): void {
    if (counting || !isConnected) return
    counting = true
    count().catch(() => {}) // the store: the next event tries again
  }

  /** Makes uncertain counts certain, one conversation after the other, until the connection is lost. */
  async function count (): Promise<void> {
    const givenUp = new Set<string>()
    try {
      for (let attempt = 0; ;) {
        if (!isConnected) return
        const uncertain = [...keeper.saved.copy.conversations.values()]
          .find(({ id, recount }) => recount && !givenUp.has(id))
        if (uncertain === undefined) return
        try {
          if (!await countBelow(uncertain.id)) givenUp.add(uncertain.id)
          attempt = 0
        } catch (error) {
          if (!(error instanceof EchoError)) throw error
          // The conversation has ended for the user; its last event is on the way.
          if (!error.transient) givenUp.add(uncertain.id)
          else await sleep(delayMs(backoff, attempt++, random, error.retryAfterMs))
        }
      }
    } finally {
      counting = false
    }
  }

  /** Resolves to whether the count is certain. */
  async function countBelow (id: string): Promise<boolean> {
    const isCertain = (): boolean => keeper.saved.copy.conversations.get(id)?.recount !== true
    for (let page = 0; page < MAX_COUNTING_PAGES && !isCertain(); page++) await loadOlder(id, COUNTING_PAGE)
    return isCertain()
  }

  return {
    loadOlder,
    applying (events) {
      for (const meanwhile of underWay) meanwhile.push(...events)
    },
    restarting () { underWay.clear() },
    applied: wake,
    connected () {
      isConnected = true
      wake()
    },
    disconnected () { isConnected = false }
  }
}

const sleep = (ms: number): Promise<void> => new Promise(resolve => { setTimeout(resolve, ms) })
