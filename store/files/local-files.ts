/**
 * Files in a folder, for one process or for several that share it.
 *
 * A file appears under its name when it is whole and on the disk; until then
 * it is `<id>.part`. 4,096 folders by the end of the id, which is its random part.
 */
import { mkdir, open, rename, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { storeError, type FileStore } from './file-store.ts'

const READ_BYTES = 64 * 1024

export function startLocalFiles (folder: string): FileStore {
  const pathOf = (id: string): string => join(folder, id.slice(-3), id)
  const partOf = (id: string): string => `${pathOf(id)}.part`
  const removeAll = async (id: string): Promise<void> => {
    await Promise.all([pathOf(id), partOf(id)].map(path => rm(path, { force: true })))
  }

  async function write (id: string, body: AsyncIterable<Uint8Array>): Promise<void> {
    await mkdir(dirname(pathOf(id)), { recursive: true, mode: 0o700 })
    const file = await open(partOf(id), 'wx', 0o600)
    try {
      for await (const chunk of body) {
        await file.appendFile(chunk)
      } // the next is asked for when this one is written
      await file.sync()
    } finally {
      await file.close()
    }
    await rename(partOf(id), pathOf(id))
    await syncFolder(dirname(pathOf(id)))
  }

  return {
    async write (id, body) {
      try {
        await write(id, body)
      } catch (error) {
        await removeAll(id).catch(() => {}) // its row is still there to find it by
        throw storeError(error)
      }
    },

    async read (id, { start, end }) {
      try {
        const file = await open(pathOf(id), 'r')
        const { size } = await file.stat()
        if (size > end) return file.createReadStream({ start, end, highWaterMark: READ_BYTES })
        await file.close()
        throw new Error(`the file has ${size} bytes, and byte ${end} was asked for`)
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
        throw storeError(error)
      }
    },

    async remove (id) {
      await removeAll(id).catch((error: unknown) => { throw storeError(error) })
    },

    async probe () {
      const path = join(folder, `.probe-${process.pid}`)
      try {
        await mkdir(folder, { recursive: true, mode: 0o700 })
        await writeFile(path, 'x', { mode: 0o600 })
        await rm(path, { force: true })
      } catch (error) {
        throw storeError(error)
      }
    },

    async [Symbol.asyncDispose] () {}
  }
}

async function syncFolder (folder: string): Promise<void> {
  const handle = await open(folder, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}
