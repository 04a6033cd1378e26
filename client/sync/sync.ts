/**
 * The copy follows the log: events are applied in order and once, gaps are fetched over
 * REST, and where the log does not go on a new snapshot begins it anew.
 *
 * One thing happens at a time. An event is handled when `receive` resolves: only then may it
 * be acknowledged.
 */
import { EchoError } from '../errors.ts'
import { missing } from '../model/apply.ts'
import { fromView } from '../model/copy.ts'
import { afterEvent } from '../outbox/outcomes.ts'
import { type Rest } from '../rest.ts'
import { type Keeper } from '../state/keeper.ts'
import { type Saved } from '../state/saved.ts'
import { type InboxEvent, type InboxPage } from '../wire/events.ts'
import { type Conversation } from '../wire/views.ts'
import { fetchSnapshot, withSnapshot } from './snapshot.ts'

/** As many as the server gives in one answer. */
const PAGE = 500

export interface Sync {
  /** An event from the inbox topic. */
  receive (event: InboxEvent): Promise<void>
  /** Everything up to the end of the log, over REST; a snapshot where there is none yet. */
  catchUp (): Promise<void>
}

export interface SyncDeps {
  keeper: Keeper
  rest: Pick<Rest, 'request'>
  deviceId: string
  /** Events that are about to be applied. Those that cannot be stored come again. */
  applying (events: InboxEvent[]): void
  /** Events that were applied, once they are stored. */
  applied (events: InboxEvent[]): void
  /** A snapshot is about to take the place of the copy. */
  restarting (): void
  /** It has. */
  restarted (): void
}

export function createSync ({
  keeper, rest, deviceId, applying, applied, restarting, restarted
}: SyncDeps): Sync {
  let last: Promise<unknown> = Promise.resolve()
  const inTurn = (step: () => Promise<void>): Promise<void> => {
    const done = last.then(step)
    last = done.catch(() => {})
    return done
  }

  async function receive (event: InboxEvent): Promise<void> {
    const { place } = keeper.saved
    if (place === undefined || event.epoch !== place.epoch || event.type === 'resync_required') {
      return await takeSnapshot()
    }
    if (event.seq > place.seq + 1) await readLog()
    await advance([event])
  }

  async function readLog (): Promise<void> {
    for (let more = true; more;) {
      const { place } = keeper.saved
      if (place === undefined) return await takeSnapshot()
      let page: InboxPage
      try {
        page = await rest.request('GET', `/inbox?after=${place.seq}&limit=${PAGE}`)
      } catch (error) {
        if (!(error instanceof EchoError && error.code === 'resync_required')) throw error
        return await takeSnapshot()
      }
      if (page.epoch !== place.epoch) return await takeSnapshot()
      await advance(page.events)
      more = page.has_more && page.events.length > 0
    }
  }

  /** Applies what follows the present place; everything else is known already. */
  async function advance (events: InboxEvent[]): Promise<void> {
    const unknown = new Map<string, Conversation | undefined>()
    const next: InboxEvent[] = []
    let preview: Saved = keeper.saved
    for (const event of events) {
      if (event.seq !== (preview.place?.seq ?? 0) + 1) continue
      const id = missing(preview.copy, event)
      if (id !== undefined && !unknown.has(id)) unknown.set(id, await readConversation(id))
      preview = step(preview, event, unknown)
      next.push(event)
    }
    if (next.length === 0) return
    // Not afterwards: what waits to change what is kept goes on before anybody hears that this is done.
    applying(next)
    await keeper.commit(saved => next.reduce((before, event) => step(before, event, unknown), saved))
    applied(next)
  }

  // A conversation that moved up while the list was read page by page is in no page.
  async function readConversation (id: string): Promise<Conversation | undefined> {
    try {
      return await rest.request<Conversation>('GET', `/conversations/${id}`)
    } catch (error) {
      if (error instanceof EchoError && (error.status === 403 || error.status === 404)) return undefined
      throw error
    }
  }

  async function takeSnapshot (): Promise<void> {
    const snapshot = await fetchSnapshot(rest)
    restarting()
    await keeper.commit(saved => withSnapshot(saved, snapshot))
    restarted()
    await rest.request('POST', '/inbox/ack', {
      body: { seq: snapshot.seq }, headers: { 'x-device-id': deviceId }
    })
  }

  return {
    receive: event => inTurn(() => receive(event)),
    catchUp: () => inTurn(async () => {
      const before = keeper.saved.place
      await (before === undefined ? takeSnapshot() : readLog())
      const after = keeper.saved.place
      if (before === undefined || after === undefined || after.seq === before.seq) return
      await rest.request('POST', '/inbox/ack', {
        body: { seq: after.seq }, headers: { 'x-device-id': deviceId }
      })
    })
  }
}

function step (
  saved: Saved, event: InboxEvent, unknown: ReadonlyMap<string, Conversation | undefined>
): Saved {
  const { place, copy } = saved
  const view = unknown.get(missing(copy, event) ?? '')
  const known = view === undefined
    ? copy
    : {
        ...copy,
        conversations: new Map(copy.conversations).set(view.id, fromView(copy.userId, view))
      }
  return {
    ...afterEvent({ ...saved, copy: known }, event), place: { epoch: place!.epoch, seq: event.seq }
  }
}
