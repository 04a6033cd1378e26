import { type ChildProcess, spawn } from 'node:child_process'
import { constants, openSync, closeSync } from 'node:fs'
import { access, readFile } from 'node:fs/promises'
import { delimiter, join } from 'node:path'

/** Runs a program of PostgreSQL as a user it accepts, its output appended to the log file. */
export type Spawn = (program: string, args: string[], logFile: string) => ChildProcess

// What setpriv needs below, with its bit numbers from linux/capability.h.
const CAPABILITIES = { CAP_DAC_OVERRIDE: 1, CAP_SETGID: 6, CAP_SETUID: 7, CAP_SETPCAP: 8 }

const WAYS_OUT = 'Start as an ordinary user, or set DATABASE_URL to a database of your own'

/**
 * PostgreSQL refuses to run as root. Root therefore runs it as the user `nobody`, who
 * keeps one capability, dac_override: the programs and the data may lie below
 * a folder like /root that only root can enter.
 */
export async function spawnerForPostgres (): Promise<Spawn> {
  if (process.getuid?.() !== 0) return spawnDetached
  const setpriv = await findOnPath('setpriv')
  if (setpriv === undefined) {
    throw new Error(
      'PostgreSQL refuses to run as root, and setpriv, which runs it as nobody, is missing. ' +
      `${WAYS_OUT}, or install util-linux`
    )
  }
  if (!await mayBecomeNobody()) {
    throw new Error(
      'PostgreSQL refuses to run as root, and this root lacks one of ' +
      `${Object.keys(CAPABILITIES).join(', ')} to run it as nobody. ${WAYS_OUT}`
    )
  }
  const { uid, gid } = await nobody()
  const prefix = [
    `--reuid=${uid}`, `--regid=${gid}`, '--clear-groups',
    '--bounding-set=-all,+dac_override', '--inh-caps=-all,+dac_override', '--ambient-caps=-all,+dac_override',
    // access(2), with which PostgreSQL looks for its own files, ignores the
    // capabilities of a user other than root unless this bit is set.
    '--securebits=+no_setuid_fixup', '--no-new-privs', '--'
  ]
  return (program, args, logFile) => spawnDetached(setpriv, [...prefix, program, ...args], logFile)
}

// Detached: in a session and process group of its own, out of reach of Ctrl-C.
// The environment is our own choice: PGPORT and its kind change what PostgreSQL
// does, and the secrets of Echo are none of its business.
function spawnDetached (program: string, args: string[], logFile: string): ChildProcess {
  const log = openSync(logFile, 'a', 0o600)
  try {
    return spawn(program, args, {
      cwd: '/',
      detached: true,
      stdio: ['ignore', log, log],
      env: { PATH: process.env.PATH, LD_LIBRARY_PATH: process.env.LD_LIBRARY_PATH, LC_ALL: 'C', TZ: 'UTC' }
    })
  } finally {
    closeSync(log)
  }
}

// A container may have taken some of its powers from root.
async function mayBecomeNobody (): Promise<boolean> {
  const status = await readFile('/proc/self/status', 'utf8').catch(() => '')
  const effective = BigInt(`0x${/^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? '0'}`)
  return Object.values(CAPABILITIES).every(bit => (effective >> BigInt(bit) & 1n) === 1n)
}

async function nobody (): Promise<{ uid: string, gid: string }> {
  const passwd = await readFile('/etc/passwd', 'utf8').catch(() => '')
  const [, , uid, gid] = passwd.split('\n').find(line => line.startsWith('nobody:'))?.split(':') ?? []
  if (!uid || !gid) {
    throw new Error(
      `PostgreSQL refuses to run as root, and there is no user nobody to run it as. ${WAYS_OUT}`
    )
  }
  return { uid, gid }
}

async function findOnPath (program: string): Promise<string | undefined> {
  for (const folder of (process.env.PATH ?? '').split(delimiter)) {
    const path = join(folder, program)
    if (await access(path, constants.X_OK).then(() => true, () => false)) return path
  }
}
