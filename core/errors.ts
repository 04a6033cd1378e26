/**
 * The errors that Echo answers with. A fault is the kind of error; each door has
 * one table that translates faults into its own terms. The code is stable and
 * meant for programs, the detail for people.
 */
export type Fault =
  | 'invalid' | 'unauthenticated' | 'forbidden' | 'not_found' | 'conflict'
  | 'gone' | 'too_large' | 'unsatisfiable' | 'too_many' | 'unavailable'

export class AppError extends Error {
  readonly fault: Fault
  readonly code: string
  /** After how many seconds a transient error may be gone, when that is known. */
  retryAfterS?: number

  constructor (fault: Fault, code: string, detail: string, options?: ErrorOptions) {
    super(detail, options)
    this.name = 'AppError'
    this.fault = fault
    this.code = code
  }

  /** True when the same request may succeed later without being changed. */
  get transient (): boolean {
    return this.fault === 'unavailable' || this.fault === 'too_many'
  }
}

/** The AppError among an error and its causes: query builders and batches wrap errors in their own. */
export function findAppError (error: unknown): AppError | undefined {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    if (cause instanceof AppError) return cause
  }
  return undefined
}

export const invalid = (code: string, detail: string): AppError => new AppError('invalid', code, detail)

/** The database cannot be reached, or does not answer. It says so itself, once for each outage. */
export class DatabaseAway extends AppError {
  constructor (cause: unknown) {
    super('unavailable', 'unavailable', 'the database is not available', { cause })
  }
}

/** A lock or a statement took the database too long; it may do other work at the same time. */
export class DatabaseSlow extends AppError {
  constructor (cause: unknown) {
    super('unavailable', 'unavailable', 'the database took too long', { cause })
  }
}

/** At which level work tells that it failed and is tried again: of an outage the database tells. */
export const failureLevel = (error: unknown): 'debug' | 'warn' =>
  findAppError(error) instanceof DatabaseAway ? 'debug' : 'warn'

export const unavailable = (detail: string, cause?: unknown): AppError =>
  new AppError('unavailable', 'unavailable', detail, { cause })

/** The process has more to do than it can do in time; to refuse early costs little. */
export const overloaded = (detail: string): AppError => new AppError('unavailable', 'overloaded', detail)

export function rateLimited (detail: string, retryAfterS: number): AppError {
  const error = new AppError('too_many', 'rate_limited', detail)
  error.retryAfterS = retryAfterS
  return error
}

/** For a user who was never a member the conversation looks as if it did not exist. */
export const unknownConversation = (): AppError =>
  new AppError('not_found', 'conversation_not_found', 'there is no such conversation')

export const formerMember = (): AppError =>
  new AppError('forbidden', 'not_a_participant', 'you are no longer a participant of this conversation')

export const unknownMessage = (): AppError =>
  new AppError('not_found', 'message_not_found', 'there is no such message')

/** One answer for unknown, another user's, and released: a sender learns nothing of the uploads of others. */
export const unknownUpload = (): AppError =>
  new AppError(
    'invalid', 'unknown_attachment', 'this names no attachment that you have uploaded and that is still there'
  )
