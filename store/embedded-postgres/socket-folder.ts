import { createHash } from 'node:crypto'
import { lstat, mkdir, rm } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

// sockaddr_un has 108 bytes on Linux and 104 on macOS, with the closing zero.
const MAX_SOCKET_PATH_BYTES = 100
const PROBE_TIMEOUT_MS = 2_000

// Part of the socket's name only: no TCP port is opened.
export const SOCKET_PORT = 5432
const SOCKET_NAME = `.s.PGSQL.${SOCKET_PORT}`

/**
 * A folder that only we can enter, which is all that protects a database that
 * trusts every process that reaches its socket. It lies in the given folder, or below the
 * system's temporary folder where the path would be too long for a socket.
 */
export async function makeSocketFolder (folder: string): Promise<string> {
  const near = join(folder, 'socket')
  const path = fits(near)
    ? near
    : join(tmpdir(), `echo-${createHash('sha256').update(folder).digest('hex').slice(0, 16)}`)
  if (!fits(path)) {
    throw new Error(`${folder} and ${tmpdir()} are both too long for a socket: use a shorter DATA_DIR`)
  }
  await mkdir(path, { mode: 0o700 }).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EEXIST') throw error
  })
  const found = await lstat(path)
  if (!found.isDirectory() || found.uid !== process.getuid?.() || (found.mode & 0o077) !== 0) {
    throw new Error(`${path} must be a folder that only the user of this process can enter: remove it`)
  }
  return path
}

/**
 * The URL under which `pg` reaches the database. Everything that the environment
 * (PGPORT, PGSSLMODE) could change is in it.
 */
export function urlOf (socketFolder: string, database: string): string {
  const host = encodeURIComponent(socketFolder)
  return `postgres://postgres@/${database}?host=${host}&port=${SOCKET_PORT}&sslmode=disable`
}

export async function removeSocketFolder (socketFolder: string): Promise<void> {
  await rm(socketFolder, { recursive: true, force: true })
}

export async function removeSocket (socketFolder: string): Promise<void> {
  await rm(join(socketFolder, SOCKET_NAME), { force: true })
  await rm(join(socketFolder, `${SOCKET_NAME}.lock`), { force: true })
}

/** Whether a server listens on the socket. */
export async function answers (socketFolder: string): Promise<boolean> {
  return await new Promise(resolve => {
    const socket = connect({ path: join(socketFolder, SOCKET_NAME), timeout: PROBE_TIMEOUT_MS })
    const settle = (answer: boolean) => {
      socket.destroy()
      resolve(answer)
    }
    socket.once('connect', () => settle(true))
    // Too busy to accept is an answer too.
    socket.once('timeout', () => settle(true))
    socket.once('error', () => settle(false))
  })
}

function fits (folder: string): boolean {
  return Buffer.byteLength(join(folder, SOCKET_NAME)) <= MAX_SOCKET_PATH_BYTES
}
