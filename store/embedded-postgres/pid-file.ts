import { readFile } from 'node:fs/promises'
import { join } from 'node:path'

export function pidFileOf (cluster: string): string {
  return join(cluster, 'postmaster.pid')
}

/** The pid in a postmaster.pid, and whether its writer has declared itself ready. */
export async function readPidFile (cluster: string): Promise<{ pid: number, ready: boolean } | undefined> {
  const text = await readFile(pidFileOf(cluster), 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return ''
    throw error
  })
  const lines = text.split('\n')
  const pid = Number(lines[0])
  if (!Number.isSafeInteger(pid) || pid <= 0) return undefined
  return { pid, ready: lines[7]?.trim() === 'ready' }
}
