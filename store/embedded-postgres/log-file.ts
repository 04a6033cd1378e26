import { open, rm } from 'node:fs/promises'

const TAIL_LINES = 12
const TAIL_BYTES = 4_096

/** Begins the log anew, which is what keeps its size within bounds. */
export async function truncateLog (logFile: string): Promise<void> {
  // Removed, not emptied: it may belong to the user of an earlier start.
  await rm(logFile, { force: true })
  await (await open(logFile, 'wx', 0o600)).close()
}

/** An Error that says what PostgreSQL itself said last. */
export async function errorWithLog (message: string, logFile: string, cause?: unknown): Promise<Error> {
  const tail = await readTail(logFile).catch(() => '')
  return new Error(tail ? `${message}. The last lines of ${logFile}:\n${tail}` : message, { cause })
}

async function readTail (logFile: string): Promise<string> {
  await using file = await open(logFile)
  const { size } = await file.stat()
  const length = Math.min(size, TAIL_BYTES)
  const { buffer } = await file.read(Buffer.alloc(length), 0, length, size - length)
  return buffer.toString().trimEnd().split('\n').slice(-TAIL_LINES).join('\n')
}
