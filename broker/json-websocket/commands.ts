/**
 * Frames of one connection, as commands.
 *
 * Each takes a token of its user's command rate, malformed ones too. Only an `ack` that moves
 * the window is free, like a PUBACK. Frames that wait are bounded: the socket is not read then.
 */
import { type Logger } from 'pino'
import { readCommand } from '../../core/commands.ts'
import { failureLevel } from '../../core/errors.ts'
import { decideCommand } from '../../messaging/commands.ts'
import { type Messaging } from '../../messaging/start.ts'
import { ClientFault } from '../connection-errors.ts'
import { decideInOrder } from '../inbox/commands-in-order.ts'
import { type RateLimit } from '../limits/rate.ts'
import { CLOSE } from './close-codes.ts'
import { type JsonConnection } from './json-connection.ts'

const MAX_WAITING = 64
const MAX_WAITING_BYTES = 512 * 1024

export interface CommandDeps { messaging: Messaging, commandRate: RateLimit, log: Logger }

export function takeCommands (
  { messaging, commandRate, log }: CommandDeps, connection: JsonConnection
): (frame: Buffer, isBinary: boolean) => void {
  let waiting = 0
  let waitingBytes = 0
  let resume: (() => void) | undefined

  return (frame, isBinary) => {
    if (connection.closed) return
    if (isBinary) return connection.end(CLOSE.unsupported, 'frames are JSON in text')
    const command = readCommand(frame)
    if (command instanceof Error) {
      // told below
    } else if (command.type === 'ack') {
      connection.heartbeat.acknowledges()
      const { pump } = connection
      if (command.request_id === undefined && command.seq > pump.ackedSeq && command.seq <= pump.sentSeq) {
        return connection.acknowledge(command.seq)
      }
    }
    waiting++
    waitingBytes += frame.length
    if (waiting >= MAX_WAITING || waitingBytes >= MAX_WAITING_BYTES) resume ??= connection.pause()
    const decide = () => decideCommand(messaging, {
      door: 'websocket',
      identity: connection.identity,
      deviceId: connection.clean ? undefined : connection.deviceId,
      renew: identity => connection.renew(identity),
      skipTo: seq => connection.acknowledge(seq)
    }, command)
    decideInOrder(commandRate, connection, decide).catch((error: unknown) => {
      if (connection.closed) return
      log[failureLevel(error)](
        { err: error, user_id: connection.userId }, 'a command could not be decided; its connection closes'
      )
      if (error instanceof ClientFault) connection.end(CLOSE.tooMany, error.message)
      else connection.end(CLOSE.tryAgain, 'a command could not be decided now')
    }).finally(() => {
      waiting--
      waitingBytes -= frame.length
      if (waiting > MAX_WAITING / 2 || waitingBytes > MAX_WAITING_BYTES / 2) return
      resume?.()
      resume = undefined
    })
  }
}
