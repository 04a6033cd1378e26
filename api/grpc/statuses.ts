/**
 * Errors as gRPC statuses: one table. The stable code is in `error-code` of the trailing metadata, and as
 * google.rpc.ErrorInfo in `grpc-status-details-bin`. An internal error does not say what caused it.
 */
import { Metadata, status } from '@grpc/grpc-js'
import { findAppError, type Fault } from '../../core/errors.ts'
import { ErrorInfo, RpcStatus } from './definition.ts'

const RETRY_AFTER_S = 1
const DOMAIN = 'echo'

export const STATUS_OF_FAULT: Record<Fault, status> = {
  invalid: status.INVALID_ARGUMENT,
  unauthenticated: status.UNAUTHENTICATED,
  forbidden: status.PERMISSION_DENIED,
  not_found: status.NOT_FOUND,
  conflict: status.ALREADY_EXISTS,
  gone: status.FAILED_PRECONDITION,
  too_large: status.INVALID_ARGUMENT,
  unsatisfiable: status.OUT_OF_RANGE,
  too_many: status.RESOURCE_EXHAUSTED,
  unavailable: status.UNAVAILABLE
}

/** What grpc-js takes for a status, as an error. */
export class Failure extends Error {
  readonly code: status
  readonly details: string
  readonly metadata: Metadata

  constructor (code: status, errorCode: string, detail: string, retryAfterS?: number) {
    super(detail)
    this.code = code
    this.details = detail
    this.metadata = new Metadata()
    this.metadata.set('error-code', errorCode)
    if (retryAfterS !== undefined) this.metadata.set('retry-after', String(retryAfterS))
    this.metadata.set('grpc-status-details-bin', RpcStatus.serialize({
      code,
      message: detail,
      details: [{
        type_url: 'type.googleapis.com/google.rpc.ErrorInfo',
        value: ErrorInfo.serialize({ reason: errorCode, domain: DOMAIN })
      }]
    }))
  }
}

/** Undefined: nobody expected this error. */
function expected (error: unknown): Failure | undefined {
  if (error instanceof Failure) return error
  const own = findAppError(error)
  if (own === undefined) return undefined
  const retryAfterS = own.transient ? own.retryAfterS ?? RETRY_AFTER_S : undefined
  return new Failure(STATUS_OF_FAULT[own.fault], own.code, own.message, retryAfterS)
}

/** `unexpected` hears of errors that are ours, before their text is hidden. */
export function failureOf (error: unknown, unexpected: (error: unknown) => void): Failure {
  const failure = expected(error)
  if (failure !== undefined) return failure
  unexpected(error)
  return new Failure(status.INTERNAL, 'internal', 'something went wrong on the server')
}
