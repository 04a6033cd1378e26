/** The root logger: JSON for machines, readable lines on a terminal. Tokens and contents are redacted. */
import { pino, type Logger } from 'pino'
import pretty from 'pino-pretty'

const REDACTED =
  ['req.headers.authorization', 'token', '*.token', 'content', '*.content', 'password', '*.password']

export function createLog (level: string): Logger {
  const options = { level, redact: REDACTED }
  return process.stdout.isTTY ? pino(options, pretty({ sync: true, ignore: 'pid,hostname' })) : pino(options)
}
