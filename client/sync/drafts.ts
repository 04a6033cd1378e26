/**
 * Drafts go to the server when their user pauses, and come from the user's other devices. What was written
 * without a connection waits in the store and goes out with the next one; then the server decides by the time
 * at which it was written. Of everything else the last stays.
 */
import { delayMs, type Backoff } from '../connection/backoff.ts'
import { EchoError } from '../errors.ts'
import { confirmed, replaced, without, written, type Drafts, type Kept } from '../model/drafts.ts'
import { type Rest } from '../rest.ts'
import { type Keeper } from '../state/keeper.ts'
import { type Draft, type DraftPage } from '../wire/views.ts'

const PAUSE_MS = 1_000
/** As many as the server gives in one answer. */
const PAGE = 200

const NONE: Kept = { content: '', updated_at: '' }

export interface DraftSync {
  /** Resolves when it is stored. */
  write (conversationId: string, content: string): Promise<void>
  /** A notice: another device has written, or this one. */
  told (draft: Draft): void
  /** The user is in this conversation no more. */
  left (conversationId: string): void
  connected (): void
  disconnected (): void
}

export interface DraftSyncDeps {
  keeper: Keeper
  rest: Rest
  backoff: Backoff
  random (): number
  now (): number
}

export function createDraftSync ({ keeper, rest, backoff, random, now }: DraftSyncDeps): DraftSync {
  let connection: object | undefined
  /** The connection on which all drafts were read. */
  let readOn: object | undefined
  /** What the server has, as it was told on this connection. */
  const known = new Map<string, Kept>()
  /** A request that got no answer may have changed what the server has. */
  const unsure = new Set<string>()
  /** Written on this connection and not tried yet: the server may take it for written now. */
  const fresh = new Set<string>()
  const pauses = new Map<string, ReturnType<typeof setTimeout>>()
  const due = new Set<string>()
  let running = false

  const change = (work: (drafts: Drafts) => Drafts): Promise<unknown> => keeper.commit(saved => {
    const drafts = work(saved.drafts)
    return drafts === saved.drafts ? saved : { ...saved, drafts }
  })

  function wake (): void {
    if (running || connection === undefined) return
    running = true
    run().finally(() => { running = false }).catch(() => {}) // the store: the next connect tries again
  }

  /** Until nothing is due, or the connection is lost. */
  async function run (): Promise<void> {
    for (let attempt = 0; ;) {
      if (connection === undefined) return
      try {
        if (readOn !== connection) await readAll(connection)
        const [id] = due
        if (id === undefined) return
        await send(id)
        attempt = 0
      } catch (error) {
        if (!(error instanceof EchoError && error.transient)) throw error
        const wait = delayMs(backoff, attempt++, random, error.retryAfterMs)
        await new Promise(resolve => setTimeout(resolve, wait))
      }
    }
  }

  async function readAll (on: object): Promise<void> {
    const found: Draft[] = []
    for (let cursor: string | null = ''; cursor !== null;) {
      const after: string = cursor === '' ? '' : `&cursor=${cursor}`
      const page: DraftPage = await rest.request('GET', `/drafts?limit=${PAGE}${after}`)
      found.push(...page.drafts)
      cursor = page.next_cursor
    }
    if (on !== connection) return
    // Notices that came meanwhile may be newer.
    found.forEach(learn)
    await change(drafts => replaced(drafts, known))
    readOn = on
  }

  async function send (id: string): Promise<void> {
    due.delete(id)
    const draft = keeper.saved.drafts.get(id)
    if (draft?.waiting !== true) return
    const { content, updated_at } = draft
    if (unsure.has(id) || content !== (known.get(id) ?? NONE).content) {
      const body = fresh.delete(id) ? { content } : { content, updated_at }
      unsure.add(id)
      try {
        learn(await rest.request<Draft>('PUT', `/conversations/${id}/draft`, { body }))
        unsure.delete(id)
      } catch (error) {
        return await refused(id, error)
      }
    }
    await change(drafts => drafts.get(id) === draft ? confirmed(drafts, id, known.get(id) ?? NONE) : drafts)
  }

  async function refused (id: string, error: unknown): Promise<void> {
    if (!(error instanceof EchoError) || error.transient) {
      due.add(id)
      throw error
    }
    // The conversation is not the user's. What is refused for another reason, such as its length, stays here.
    if (error.status === 403 || error.status === 404) await change(drafts => without(drafts, id))
  }

  /** True for news. */
  function learn ({ conversation_id, content, updated_at }: Draft): boolean {
    const before = known.get(conversation_id)
    if (before !== undefined && before.updated_at >= updated_at) return false
    known.set(conversation_id, { content, updated_at })
    return true
  }

  function dueIn (id: string, ms: number): void {
    clearTimeout(pauses.get(id))
    pauses.set(id, setTimeout(() => {
      due.add(id)
      wake()
    }, ms))
  }

  return {
    async write (id, content) {
      if (connection !== undefined) fresh.add(id)
      await change(drafts => written(drafts, id, content, new Date(now()).toISOString()))
      // The message was sent, most likely: no other device should show it as a draft any more.
      if (connection !== undefined) dueIn(id, content === '' ? 0 : PAUSE_MS)
    },
    told (draft) {
      const id = draft.conversation_id
      if (!learn(draft)) return
      // What waits goes out, and is the last then. If the store fails, the next connect brings it again.
      change(drafts => drafts.get(id)?.waiting === true ? drafts : confirmed(drafts, id, draft))
        .catch(() => {})
    },
    left (id) {
      known.delete(id)
      change(drafts => without(drafts, id)).catch(() => {})
    },
    connected () {
      connection = {}
      known.clear()
      for (const [id, { waiting }] of keeper.saved.drafts) if (waiting) due.add(id)
      wake()
    },
    disconnected () {
      connection = undefined
      fresh.clear()
      due.clear()
      for (const pause of pauses.values()) clearTimeout(pause)
      pauses.clear()
    }
  }
}
