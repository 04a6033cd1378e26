import { type ChildProcess } from 'node:child_process'

/** Settles once, with what ended the process; also when it could not be started. */
export function endOf (child: ChildProcess): Promise<string> {
  return new Promise(resolve => {
    child.once('exit', (code, signal) => resolve(signal ?? `exit code ${code}`))
    child.once('error', error => { if (child.pid === undefined) resolve(error.message) })
  })
}

// The signals of PostgreSQL for a fast and an immediate shutdown. After the
// second it kills what remains of its children itself, within 5 s.
const FAST_SHUTDOWN_MS = 10_000
const shutdown = (fastShutdownMs: number) => [
  { signal: 'SIGINT', patienceMs: fastShutdownMs },
  { signal: 'SIGQUIT', patienceMs: 7_000 },
  { signal: 'SIGKILL', patienceMs: 3_000 }
] as const

/** Stops a postmaster, with growing force. Throws an Error if even the last signal does not end it. */
export async function shutDown (
  send: (signal: NodeJS.Signals) => void | Promise<void>,
  endedWithin: (ms: number) => Promise<boolean>,
  fastShutdownMs = FAST_SHUTDOWN_MS
): Promise<void> {
  for (const { signal, patienceMs } of shutdown(fastShutdownMs)) {
    await send(signal)
    if (await endedWithin(patienceMs)) return
  }
  throw new Error('PostgreSQL does not end, not even after SIGKILL')
}
