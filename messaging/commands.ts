/**
 * Decides one command from an outbox, whichever door it came through.
 *
 * A decision is final: done, or refused for good. When a command may succeed later, the error
 * is thrown instead, and the door leaves the command unacknowledged.
 */
import { randomUUID } from 'node:crypto'
import { AppError, findAppError } from '../core/errors.ts'
import { RefusedCommand, type Command, type CommandEcho } from '../core/commands.ts'
import { type Identity } from '../core/identity.ts'
import { inboxCounters } from '../store/people/users.ts'
import { type Door } from './send/queue.ts'
import { type Messaging } from './start.ts'

export interface CommandContext {
  door: Door
  identity: Identity
  /** Undefined for a clean session: it has no cursor to move. */
  deviceId: string | undefined
  /** A fresh token of the same user was accepted. */
  renew: (identity: Identity) => void
  /** The device has everything up to `seq`. */
  skipTo: (seq: number) => void
}

export interface Reply {
  type: 'accepted' | 'rejected'
  client_message_id?: string
  request_id?: string
  message?: unknown
  error?: { code: string, detail: string }
}

/** Resolves to what the sender is told, if anything. Throws when the command could not be decided now. */
export async function decideCommand (
  messaging: Messaging, context: CommandContext, command: Command | RefusedCommand
): Promise<Reply | undefined> {
  const echo = command instanceof RefusedCommand ? command.echo : echoOf(command)
  try {
    if (command instanceof RefusedCommand) throw command
    const result = await execute(messaging, context, command)
    const expected = command.type === 'send_message' || echo.request_id !== undefined
    return expected ? { type: 'accepted', ...echo, ...result } : undefined
  } catch (error) {
    const refusal = finalRefusal(error)
    if (refusal === undefined) throw error
    return { type: 'rejected', ...echo, error: { code: refusal.code, detail: refusal.message } }
  }
}

async function execute (messaging: Messaging, context: CommandContext, command: Command): Promise<object> {
  const { userId } = context.identity
  switch (command.type) {
    case 'send_message': {
      const { type, request_id, ...draft } = command
      const { message } = await messaging.sends.send({
        senderId: userId, draft, origin: { door: context.door, requestId: request_id ?? randomUUID() }
      })
      return { message }
    }
    case 'read_receipt':
      await messaging.readReceipts.read({
        readerId: userId,
        messageId: command.message_id,
        clientAt: clientTime(command.read_at)
      })
      return {}
    case 'typing':
      await messaging.typing.tell(userId, command.conversation_id.toLowerCase(), command.is_typing)
      return {}
    case 'auth': {
      const fresh = await messaging.authentication.authenticate(command.token)
      if (fresh.userId !== userId) {
        throw new AppError('forbidden', 'other_user', 'the token belongs to another user')
      }
      context.renew(fresh)
      return {}
    }
    case 'ack':
      await acknowledge(messaging, userId, context.deviceId, command.seq)
      context.skipTo(command.seq)
      return {}
  }
}

/** Acknowledges everything up to `seq` for a device. Throws `invalid` beyond the end of the log. */
export async function acknowledge (
  messaging: Pick<Messaging, 'database' | 'acknowledgements'>, userId: string, deviceId: string | undefined,
  seq: number
): Promise<void> {
  const [user] = await inboxCounters(messaging.database.autocommit, [userId])
  if (user === undefined || seq > user.inbox_seq) {
    throw new AppError('invalid', 'seq_beyond_end', `the inbox ends at ${user?.inbox_seq ?? 0}`)
  }
  await messaging.acknowledgements.apply({ userId, deviceId, seq })
}

// RFC 3339 allows a leap second, which is no Date; and no message was read before 1970.
function clientTime (readAt: string | number | undefined): Date | undefined {
  const time = new Date(readAt ?? NaN)
  return time.getTime() >= 0 ? time : undefined
}

function echoOf (command: Command): CommandEcho {
  return {
    ...('client_message_id' in command ? { client_message_id: command.client_message_id } : {}),
    ...(command.request_id === undefined ? {} : { request_id: command.request_id })
  }
}

function finalRefusal (error: unknown): AppError | undefined {
  const refusal = findAppError(error)
  return refusal?.transient === true ? undefined : refusal
}
