import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { promisify } from 'node:util'

/**
 * What tells a process from a later one that was given the same pid, and what
 * it was started as. A process that has ended but has not been collected by its
 * parent (a zombie) counts as ended.
 */
export interface ProcessTable {
  startTimeOf (pid: number): Promise<string | undefined>
  commandOf (pid: number): Promise<Command | undefined>
}

/** The program, and the whole line with its arguments as they read, unquoted. */
export interface Command { program: string, line: string }

const PS_TIMEOUT_MS = 5_000
const run = promisify(execFile)

export const procTable: ProcessTable = {
  // Ticks since boot, so the boot is part of the answer.
  async startTimeOf (pid) {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined)
    // The command name, in parentheses, may itself contain blanks and parentheses.
    const fields = stat?.slice(stat.lastIndexOf(')') + 2).split(' ')
    if (!fields || fields[0] === 'Z' || fields[0] === 'X') return undefined
    const boot = await readFile('/proc/sys/kernel/random/boot_id', 'utf8').catch(() => '')
    return `${boot.trim()} ${fields[19]}`
  },
  async commandOf (pid) {
    const text = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')
    const [program] = text.split('\0')
    return program ? { program, line: text.replaceAll('\0', ' ').trimEnd() } : undefined
  }
}

export const psTable: ProcessTable = {
  async startTimeOf (pid) {
    const [state, ...started] = (await ps(pid, ['-o', 'stat=', '-o', 'lstart='])).split(/\s+/)
    return !state || state.startsWith('Z') ? undefined : started.join(' ')
  },
  async commandOf (pid) {
    const [program, line] = [await ps(pid, ['-o', 'comm=']), await ps(pid, ['-o', 'command='])]
    return program && line ? { program, line } : undefined
  }
}

/** The processes of this machine. */
export const processes = process.platform === 'linux' ? procTable : psTable

async function ps (pid: number, columns: string[]): Promise<string> {
  const { stdout } = await run('ps', [
    '-ww', ...columns, '-p', String(pid)
  ], { timeout: PS_TIMEOUT_MS, env: { ...process.env, LC_ALL: 'C', TZ: 'UTC' } })
    .catch((error: { code?: unknown }) => {
      // Exit code 1 is the answer "no such process"; anything else is no answer.
      if (error.code === 1) return { stdout: '' }
      throw error
    })
  return stdout.trim()
}
