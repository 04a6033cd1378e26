/**
 * The root logger: JSON for machines, readable lines on a terminal. Tokens and contents are redacted.
 *
 * What Node and libraries would print by themselves becomes a line of it, so that every line can be parsed.
 */
import { format } from 'node:util'
import { pino, type Logger } from 'pino'
import pretty from 'pino-pretty'

const REDACTED =
  ['req.headers.authorization', 'token', '*.token', 'content', '*.content', 'password', '*.password']
const CONSOLE = { debug: 'debug', log: 'info', info: 'info', warn: 'warn', error: 'error' } as const

/** There is a terminal. */
export const isReadByPeople = (): boolean => process.stdout.isTTY

export function createLog (level: string): Logger {
  const options = { level, redact: REDACTED }
  return isReadByPeople() ? pino(options, pretty({ sync: true, ignore: 'pid,hostname' })) : pino(options)
}

/** For the whole process: warnings, what is written to the console, and the error that ends it. */
export function logWhatOthersSay (log: Logger): void {
  process.removeAllListeners('warning') // Node's own listener, which prints them
  process.on('warning', warning => log.warn({ err: warning }, 'a warning of Node'))
  for (const [method, level] of Object.entries(CONSOLE)) {
    console[method as keyof typeof CONSOLE] = (...values: unknown[]) =>
      log[level]({ text: format(...values) }, 'a library wrote to the console')
  }
  process.on('uncaughtException', (error, origin) => {
    log.fatal({ err: error, origin }, 'an error that nobody expected ends the process')
    process.exit(1)
  })
}
