/**
 * The one place where what a client keeps is changed. Changes are made one after the other;
 * each is in the store before anybody sees it, so nothing is shown, acknowledged or sent
 * that a crash could take back.
 */
import { EchoError } from '../errors.ts'
import { type Store } from '../store/store.ts'
import { changesBetween, restored, shortened, type Saved } from './saved.ts'

export interface Keeper {
  readonly saved: Saved
  /** Resolves to what is kept then. A change that throws, or cannot be stored, has not happened. */
  commit (change: (saved: Saved) => Saved): Promise<Saved>
  /** Takes no more changes and waits for those under way: the store may be another client's then. */
  close (): Promise<void>
}

export async function openKeeper (
  userId: string, store: Store, changed: (before: Saved, after: Saved) => void
): Promise<Keeper> {
  let saved = restored(userId, await store.read())
  let last: Promise<unknown> = Promise.resolve()
  let isClosed = false

  async function perform (change: (saved: Saved) => Saved): Promise<Saved> {
    const before = saved
    const after = change(before)
    if (after === before) return before
    const changes = changesBetween(before, after)
    if (changes.length > 0) await store.write(changes)
    saved = after
    changed(before, after)
    return after
  }

  await perform(shortened)
  return {
    get saved () { return saved },
    async commit (change) {
      if (isClosed) throw new EchoError('closed', 'the client is closed')
      const done = last.then(() => perform(change))
      last = done.catch(() => {})
      return await done
    },
    async close () {
      isClosed = true
      await last
    }
  }
}
