/** What processes have used so far, as Linux tells it below /proc. */
import { readdir, readFile } from 'node:fs/promises'

const CLOCK_TICKS_PER_SECOND = 100
const PAGE_BYTES = 4_096

// utime and stime are fields 14 and 15 of /proc/<pid>/stat, cutime and cstime 16 and 17, the parent is 4.
// They are counted from behind the name, which may hold spaces.
const [PARENT, UTIME, STIME, CUTIME, CSTIME] = [1, 11, 12, 13, 14] as const

/** CPU seconds of one process. 0: it has gone. */
export async function cpuSeconds (pid: number): Promise<number> {
  return seconds(await statFields(pid), [UTIME, STIME])
}

/** CPU seconds of a process, its children, and those of its children that have ended. */
export async function familyCpuSeconds (parent: number): Promise<number> {
  let total = seconds(await statFields(parent), [UTIME, STIME, CUTIME, CSTIME])
  for (const entry of await readdir('/proc')) {
    if (!/^\d+$/.test(entry)) continue
    const fields = await statFields(entry)
    if (fields?.[PARENT] === String(parent)) total += seconds(fields, [UTIME, STIME])
  }
  return total
}

export async function parentOf (pid: number): Promise<number | undefined> {
  const parent = (await statFields(pid))?.[PARENT]
  return parent === undefined ? undefined : Number(parent)
}

export async function nameOf (pid: number): Promise<string | undefined> {
  return (await readFile(`/proc/${pid}/comm`, 'utf8').catch(() => undefined))?.trim()
}

export async function residentBytes (pid: number): Promise<number> {
  const pages = (await readFile(`/proc/${pid}/statm`, 'utf8').catch(() => '0 0')).split(' ')[1]
  return Number(pages) * PAGE_BYTES
}

const seconds = (fields: string[] | undefined, which: number[]): number =>
  which.reduce((sum, field) => sum + Number(fields?.[field] ?? 0), 0) / CLOCK_TICKS_PER_SECOND

async function statFields (pid: number | string): Promise<string[] | undefined> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined)
  return stat?.slice(stat.lastIndexOf(')') + 2).split(' ')
}
