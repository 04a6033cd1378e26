/**
 * Which device a tab is. A user has numbered devices in this browser; a tab takes the first that no other tab
 * holds, so a second tab is a second device. What a device holds is in memory: its outbox ends with its tab.
 */
import { createMemoryStore, type Store } from '@echo/client'

const MAX_TABS = 20

export interface Device { id: string, store: Store }

export async function takeDevice (userId: string): Promise<Device> {
  // Only pages that came safely, or from this machine, have locks.
  const taken = navigator.locks === undefined ? undefined : await firstFree(userId)
  if (taken === undefined) {
    return { id: `page-${Math.random().toString(36).slice(2)}`, store: createMemoryStore() }
  }
  return { id: taken, store: createMemoryStore() }
}

async function firstFree (userId: string): Promise<string | undefined> {
  for (let number = 1; number <= MAX_TABS; number++) {
    const id = `browser-${browserId()}-${number}`
    if (await isFree(`echo ${userId} ${id}`)) return id
  }
  return undefined
}

/** Takes the lock, which ends with the page. */
const isFree = (name: string): Promise<boolean> => new Promise(resolve => {
  navigator.locks.request(name, { ifAvailable: true }, async lock => {
    resolve(lock !== null)
    if (lock !== null) await new Promise(() => {})
  }).catch(() => resolve(false))
})

function browserId (): string {
  const key = 'echo-browser'
  const known = localStorage.getItem(key)
  if (known !== null) return known
  const made = Math.random().toString(36).slice(2, 8)
  localStorage.setItem(key, made)
  return made
}
