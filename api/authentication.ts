/** Bearer tokens (RFC 6750): the caller is known before any other part of a request is looked at. */
import { type FastifyInstance, type FastifyRequest } from 'fastify'
import { AppError } from '../core/errors.ts'
import { type Identity } from '../core/identity.ts'
import { type Authentication } from '../messaging/access/authentication.ts'
import { countTurnedAway } from '../messaging/send/trace.ts'

const CALLER = 'caller'
const BEARER = /^Bearer +([^\s]+) *$/i

/** Every route that `app` registers after this requires a token; `callerOf` says whose token it is. */
export function requireToken (
  app: Pick<FastifyInstance, 'decorateRequest' | 'addHook'>,
  authentication: Pick<Authentication, 'authenticate'>
): void {
  app.decorateRequest(CALLER)
  app.addHook('onRequest', async request => {
    try {
      request.setDecorator(CALLER, await identify(authentication, request.headers.authorization))
    } catch (error) {
      if (request.routeOptions.config.sends === true) countTurnedAway('rest', error)
      throw error
    }
  })
}

export const callerOf = (request: FastifyRequest<any, any, any, any, any, any, any, any>): Identity =>
  request.getDecorator<Identity>(CALLER)

/** Whose token the header carries. Throws as `authenticate` does, and `unauthenticated` without one. */
export const identify = async (
  authentication: Pick<Authentication, 'authenticate'>, header: string | undefined
): Promise<Identity> => await authentication.authenticate(tokenOf(header))

function tokenOf (header: string | undefined): string {
  if (header === undefined) {
    throw new AppError(
      'unauthenticated', 'token_required', 'the header `Authorization: Bearer <token>` is required'
    )
  }
  const token = BEARER.exec(header)?.[1]
  if (token === undefined) {
    throw new AppError(
      'unauthenticated', 'invalid_token', 'the Authorization header must be `Bearer <token>`'
    )
  }
  return token
}
