/** The commands a client publishes to its outbox, and how their JSON is read. */
import { Type, type Static } from 'typebox'
import { Compile } from 'typebox/compile'
import { AppError, invalid } from './errors.ts'
import { MessageDraft } from './message-rules.ts'
import { describeErrors, type SchemaError } from './validation.ts'

const RequestId = Type.Optional(Type.String({ maxLength: 128 }))

export const COMMANDS = {
  send_message: Type.Object({
    ...MessageDraft.properties,
    type: Type.Literal('send_message'),
    request_id: RequestId,
    client_message_id: Type.String({ minLength: 1, maxLength: 128 })
  }, { additionalProperties: false }),
  read_receipt: Type.Object({
    type: Type.Literal('read_receipt'),
    request_id: RequestId,
    message_id: Type.String({ format: 'uuid' }),
    read_at: Type.Optional(Type.Union([
      Type.String({ format: 'date-time' }), Type.Integer({ minimum: 0, maximum: 8.64e15 })
    ]))
  }, { additionalProperties: false }),
  typing: Type.Object({
    type: Type.Literal('typing'),
    request_id: RequestId,
    conversation_id: Type.String({ format: 'uuid' }),
    is_typing: Type.Boolean()
  }, { additionalProperties: false }),
  auth: Type.Object({
    type: Type.Literal('auth'),
    request_id: RequestId,
    token: Type.String({ minLength: 1 })
  }, { additionalProperties: false }),
  ack: Type.Object({
    type: Type.Literal('ack'),
    request_id: RequestId,
    seq: Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER })
  }, { additionalProperties: false })
}

export type Command = { [K in keyof typeof COMMANDS]: Static<(typeof COMMANDS)[K]> }[keyof typeof COMMANDS]
export type SendCommand = Extract<Command, { type: 'send_message' }>

const checkers = Object.fromEntries(
  Object.entries(COMMANDS).map(([type, schema]) => [type, Compile(schema)])
) as Record<string, { Check (value: unknown): boolean, Errors (value: unknown): SchemaError[] }>

/** A refusal that knows enough of its command to be answered. */
export class RefusedCommand extends AppError {
  readonly echo: CommandEcho
  constructor (error: AppError, echo: CommandEcho) {
    super(error.fault, error.code, error.message)
    this.echo = echo
  }
}

export interface CommandEcho { client_message_id?: string, request_id?: string }

// Bytes that are not UTF-8 must not be stored as replacement characters.
const utf8 = new TextDecoder('utf-8', { fatal: true })

/** A RefusedCommand (`invalid`) for anything that is not exactly one known command. */
export function readCommand (payload: Buffer): Command | RefusedCommand {
  let value: unknown
  try {
    value = JSON.parse(utf8.decode(payload))
  } catch {
    return new RefusedCommand(invalid('malformed_json', 'the command is not valid JSON in UTF-8'), {})
  }
  const echo = looseEcho(value)
  const type = typeof value === 'object' && value !== null ? (value as { type?: unknown }).type : undefined
  if (typeof type !== 'string' || !Object.hasOwn(checkers, type)) {
    return new RefusedCommand(
      invalid('unknown_command', `type must be one of ${Object.keys(COMMANDS).join(', ')}`), echo
    )
  }
  const checker = checkers[type]!
  if (!checker.Check(value)) {
    return new RefusedCommand(
      invalid('invalid_request', describeErrors(checker.Errors(value), 'command')), echo
    )
  }
  return value as Command
}

/** The ids of a command that may be malformed, as far as they can be used. */
function looseEcho (value: unknown): CommandEcho {
  if (typeof value !== 'object' || value === null) return {}
  const echo: CommandEcho = {}
  for (const key of ['client_message_id', 'request_id'] as const) {
    const field = (value as Record<string, unknown>)[key]
    if (typeof field === 'string' && field.length <= 128) echo[key] = field
  }
  return echo
}
