/** The commands of one connection: several are decided at once, and answered in the order they came. */
import { type Reply } from '../../messaging/commands.ts'
import { ClientFault } from '../connection-errors.ts'
import { type RateLimit } from '../limits/rate.ts'

export interface CommandLine {
  readonly userId: string
  readonly closed: boolean
  /** Resolves when the commands so far are answered. */
  decided: Promise<unknown>
  /** A command could not be decided. */
  undecided: boolean
  reply (payload: Buffer): void
  /** Resolves when the socket takes more, or is closed. */
  drained (): Promise<void>
}

/**
 * Resolves when the command and those before it are answered. Rejects when it could not be decided: the
 * connection then closes, and the client sends again. `waited` is called when the command had to wait
 * for its turn in the user's rate.
 */
export async function decideInOrder (
  commandRate: RateLimit, connection: CommandLine, decide: () => Promise<Reply | undefined>,
  waited: () => void = () => {
    if (connection.closed) throw new ClientFault('the connection closed before the command was decided')
  }
): Promise<void> {
  // It closes, and the client sends all of them again: what comes behind the one that failed must not be
  // done before it.
  if (connection.undecided) throw new Error('a command before this one could not be decided')
  const deciding = commandRate.take(connection.userId, connection)?.then(() => {
    waited()
    return decide()
  }) ?? decide()
  deciding.catch(() => { connection.undecided = true }) // told below, when those before it are decided
  const answered = connection.decided.then(() => deciding).then(async reply => {
    if (reply !== undefined) connection.reply(Buffer.from(JSON.stringify(reply)))
    // A client that does not read its replies is not read from either.
    await connection.drained()
  })
  connection.decided = answered.catch(() => {})
  await answered
}
