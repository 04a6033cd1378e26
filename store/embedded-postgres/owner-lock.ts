import { createHash, randomUUID } from 'node:crypto'
import { link, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { processes } from './process-identity.ts'

/**
 * A folder has one owner at a time: the process named in its owner.lock.
 *
 * A lock is made whole and in one step (a link, which fails where there is one
 * already), so a reader never sees half of it. The lock of a dead owner is
 * replaced only by the holder of its successor, a lock of the same kind named
 * after the dead owner's content: however many starters find the same dead
 * owner, and wherever any of them is killed, one at a time can replace it.
 */
export interface OwnerLock { release (): Promise<void> }

interface Owner { pid: number, started: string }

// Each round ends in a lock, in an error, or because another starter has moved on.
const MAX_ROUNDS = 50

export class FolderInUse extends Error {
  readonly folder: string
  constructor (folder: string, pid: number) {
    super(`${folder} is in use by process ${pid}: ` +
      'stop that process, or give this one a folder of its own in DATA_DIR')
    this.folder = folder
  }
}

/** Throws FolderInUse, which names the folder and the pid, while a living process owns the folder. */
export async function acquireOwnerLock (folder: string): Promise<OwnerLock> {
  const path = join(folder, 'owner.lock')
  const started = await processes.startTimeOf(process.pid)
  if (started === undefined) {
    throw new Error('cannot tell when this process started: is /proc mounted, or ps installed?')
  }
  const mine = JSON.stringify({ pid: process.pid, started } satisfies Owner)
  await claim(path, mine, folder)
  return { release: () => remove(path, mine) }
}

async function claim (path: string, mine: string, folder: string): Promise<void> {
  for (let round = 0; round < MAX_ROUNDS; round++) {
    if (await create(path, mine)) return
    const found = await read(path)
    if (found === undefined) continue
    const pid = await livingOwner(found)
    if (pid !== undefined) {
      throw new FolderInUse(folder, pid)
    }
    const successor = successorOf(folder, found)
    await claim(successor, mine, folder)
    // Only now is it certain that no other starter is replacing what was found;
    // one may have done so before, and gone.
    if (await read(path) === found) return await rename(successor, path)
    await remove(successor, mine)
  }
  throw new Error(`${folder} changes owner all the time: owner.lock could not be taken`)
}

/** The path of a second lock: its holder may replace the lock that has this content. */
export function successorOf (folder: string, content: string): string {
  return join(folder, `owner.lock.${createHash('sha256').update(content).digest('hex').slice(0, 16)}`)
}

async function create (path: string, content: string): Promise<boolean> {
  const draft = `${path}.${randomUUID()}.tmp`
  await writeFile(draft, content, { flag: 'wx', mode: 0o600, flush: true })
  try {
    await link(draft, path)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw error
  } finally {
    await rm(draft, { force: true })
  }
}

async function livingOwner (content: string): Promise<number | undefined> {
  let owner: Partial<Owner>
  try {
    owner = JSON.parse(content) as Partial<Owner>
  } catch {
    return undefined
  }
  if (typeof owner.pid !== 'number' || typeof owner.started !== 'string') return undefined
  return await processes.startTimeOf(owner.pid) === owner.started ? owner.pid : undefined
}

async function read (path: string): Promise<string | undefined> {
  return await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined
    throw error
  })
}

async function remove (path: string, mine: string): Promise<void> {
  if (await read(path) === mine) await rm(path, { force: true })
}
