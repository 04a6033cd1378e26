/** One client at a time for a file. The lock of a process that is gone holds nothing. */
import { readFile, rm, writeFile } from 'node:fs/promises'

/** Of this process. */
const held = new Set<string>()

export interface FileLock { release (): Promise<void> }

export async function holdFile (path: string): Promise<FileLock> {
  for (;;) {
    try {
      await writeFile(path, String(process.pid), { flag: 'wx' })
      break
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
      const pid = Number(await readFile(path, 'utf8').catch(() => ''))
      if (pid === process.pid ? held.has(path) : isAlive(pid)) {
        throw new Error(`${path} is held by process ${pid}`)
      }
      await rm(path, { force: true })
    }
  }
  held.add(path)
  return {
    async release () {
      held.delete(path)
      await rm(path, { force: true })
    }
  }
}

function isAlive (pid: number): boolean {
  if (!(pid > 0)) return false
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}
