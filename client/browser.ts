/**
 * Each tab is a device of its own, with a store of its own. Tabs take places: the first free one, with
 * the device and the store that belong to it, so a tab that comes back finds what it left. What a closed or
 * killed tab left in its outbox is sent by another one.
 */
import { type Client, type ClientOptions } from './client-options.ts'
import { createClient } from './index.ts'
import { type OutboxEntry } from './model/outbox.ts'
import { randomId } from './random-id.ts'
import { openIndexedDbStore } from './store/indexed-db.ts'
import { createMemoryStore } from './store/memory.ts'
import { type Store } from './store/store.ts'

/** Tabs of one user in one browser; further ones keep nothing. */
const MAX_PLACES = 16
const LOOK_EVERY_MS = 15_000

export type BrowserClientOptions = Omit<ClientOptions, 'deviceId' | 'store'>

interface Place { number: number, deviceId: string, store: Store, release (): void }

export async function openBrowserClient (options: BrowserClientOptions): Promise<Client> {
  const { userId } = options
  const place = await takePlace(userId)
  if (place === undefined) {
    return createClient({ ...options, deviceId: `web-${randomId()}`, store: createMemoryStore() })
  }
  const client = createClient({ ...options, deviceId: place.deviceId, store: place.store })
  let timer: ReturnType<typeof setInterval> | undefined
  const look = (): void => { collect(client, place.number).catch(() => {}) }
  async function close (): Promise<void> {
    clearInterval(timer)
    await client.close()
    place!.release()
  }
  return {
    ...client,
    async start () {
      await client.start()
      look()
      timer = setInterval(look, LOOK_EVERY_MS)
    },
    close,
    [Symbol.asyncDispose]: close
  }
}

const nameOf = (userId: string, number: number): string => `echo ${userId} ${number}`

/** Undefined where the browser has no locks or no database for this page. */
async function takePlace (userId: string): Promise<Place | undefined> {
  if (typeof indexedDB === 'undefined' || navigator.locks === undefined) return undefined
  for (let number = 0; number < MAX_PLACES; number++) {
    const release = await hold(nameOf(userId, number))
    if (release === undefined) continue
    try {
      const store = await openIndexedDbStore(nameOf(userId, number))
      return { number, deviceId: await deviceIdOf(store), store, release }
    } catch {
      // A browser that keeps nothing, as some do in private windows.
      release()
      return undefined
    }
  }
  return undefined
}

async function deviceIdOf (store: Store): Promise<string> {
  const known = (await store.read()).place.get('device') as string | undefined
  if (known !== undefined) return known
  const deviceId = `web-${randomId()}`
  await store.write([{ table: 'place', key: 'device', value: deviceId }])
  return deviceId
}

/** What ends the hold; undefined when another tab has it. The end of the tab ends it too. */
function hold (name: string): Promise<(() => void) | undefined> {
  return new Promise(resolve => {
    let release: () => void
    const held = new Promise<void>(resolve => { release = resolve })
    navigator.locks.request(name, { ifAvailable: true }, lock => {
      resolve(lock === null ? undefined : release)
      return lock === null ? undefined : held
    }).catch(() => resolve(undefined))
  })
}

/** Takes over what waits in places that no tab has. */
async function collect (client: Client, own: number): Promise<void> {
  const names = new Set((await indexedDB.databases()).map(({ name }) => name))
  for (let number = 0; number < MAX_PLACES; number++) {
    const name = nameOf(client.userId, number)
    if (number === own || !names.has(name)) continue
    const release = await hold(name)
    if (release === undefined) continue
    try {
      const store = await openIndexedDbStore(name)
      const entries = [...(await store.read()).outbox.values()] as OutboxEntry[]
      // Here first: what a crash in between leaves in both places is sent twice and arrives once.
      if (entries.length > 0) await client.adopt(entries)
      await store.write(entries.map(({ id }) => ({ table: 'outbox', key: id })))
      await store.close()
    } finally {
      release()
    }
  }
}
