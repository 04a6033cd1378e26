/**
 * The one place where what a client keeps is changed. Changes are made one after the other;
 * each is in the store before anybody sees it, so nothing is shown, acknowledged or sent
 * that a crash could take back.
 */
import { type Store } from '../store/store.ts'
import { changesBetween, restored, shortened, type Saved } from './saved.ts'

export interface Keeper {
  readonly saved: Saved
  /** Resolves to what is kept then. A change that throws, or cannot be stored, has not happened. */
  commit (change: (saved: Saved) => Saved): Promise<Saved>
  /** Waits for the changes that are under way. */
  settle (): Promise<void>
}

export async function openKeeper (
  userId: string, store: Store, changed: (before: Saved, after: Saved) => void
): Promise<Keeper> {
  let saved = restored(userId, await store.read())
  let last: Promise<unknown> = Promise.resolve()

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
    commit (change) {
      const done = last.then(() => perform(change))
      last = done.catch(() => {})
      return done
    },
    async settle () { await last }
  }
}
