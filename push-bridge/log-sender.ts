/** Takes the place of a push service where none is configured: each push becomes a log line. */
import { type Logger } from 'pino'
import { type PushSender } from './sender.ts'

export function createLogSender (log: Logger): PushSender {
  return {
    send: async pushes => pushes.map(push => {
      // In full, contents and token too: here the log is the phone.
      log.info({ push }, 'push')
      return { outcome: 'ok' }
    })
  }
}
