/**
 * Tokens for the pages, where Echo has made its own secret for development. They can be anybody's, so only
 * pages of this server, in a browser on this machine, get them (own-machine.ts).
 */
import { Type } from 'typebox'
import { AppError } from '../../core/errors.ts'
import { UserId } from '../contract/schemas.ts'
import { type App } from '../app.ts'
import { isOwnMachine } from './own-machine.ts'

const DEFAULT_TTL_S = 3_600

export interface TokenWanted { userId: string, ttlSeconds: number, name?: string, scope?: string }
export type IssueToken = (wanted: TokenWanted) => Promise<string>

export function developmentTokenRoute (app: App, issueToken: IssueToken, scheme: 'http' | 'https'): void {
  app.post('/development-tokens', {
    schema: {
      hide: true,
      body: Type.Object({
        user_id: UserId,
        name: Type.Optional(Type.String({ minLength: 1, maxLength: 200 })),
        scope: Type.Optional(Type.Literal('admin')),
        ttl_seconds: Type.Optional(Type.Integer({ minimum: 1, maximum: 86_400 }))
      }, { additionalProperties: false })
    }
  }, async (request, reply) => {
    // Not request.ip: what a proxy says of the address does not count here.
    if (!isOwnMachine(request.raw.socket.remoteAddress, request.headers, scheme)) {
      throw new AppError(
        'forbidden', 'not_this_machine', 'only a page of this server, in a browser on its machine, gets tokens'
      )
    }
    const { user_id: userId, name, scope, ttl_seconds: ttlSeconds = DEFAULT_TTL_S } = request.body
    const token = await issueToken({ userId, name, scope, ttlSeconds })
    return await reply.code(201).header('cache-control', 'no-store').send({ token })
  })
}
