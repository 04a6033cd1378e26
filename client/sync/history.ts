/** Pages of the messages before those that are held, for readers and for counts that need them. */
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
  /** Events that were applied: a page that is on its way may be older. */
  applied (events: InboxEvent[]): void
  /** Makes uncertain counts certain, one conversation after the other. */
  recount (): Promise<void>
}

export function createHistory (keeper: Keeper, rest: Rest): History {
  const underWay = new Set<InboxEvent[]>()
  /** One page at a time for each conversation. */
  const loading = new Map<string, Promise<boolean>>()
  let counting: Promise<void> | undefined

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

  async function recountAll (): Promise<void> {
    const uncertain = [...keeper.saved.copy.conversations.values()].filter(({ recount }) => recount)
    for (const { id } of uncertain) {
      const isUncertain = (): boolean => keeper.saved.copy.conversations.get(id)?.recount === true
      for (let page = 0; page < MAX_COUNTING_PAGES && isUncertain(); page++) {
        await loadOlder(id, COUNTING_PAGE).catch((error: unknown) => {
          // The conversation has ended for the user; its last event is on the way.
          if (!(error instanceof EchoError) || error.transient) throw error
          page = MAX_COUNTING_PAGES
        })
      }
    }
  }

  return {
    loadOlder,
    applied (events) { for (const meanwhile of underWay) meanwhile.push(...events) },
    recount: () => (counting ??= recountAll().finally(() => { counting = undefined }))
  }
}
