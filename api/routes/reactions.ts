/** Reactions: one per user and emoji. */
import { Type } from 'typebox'
import { type Messaging } from '../../messaging/start.ts'
import { type App } from '../app.ts'
import { callerOf } from '../authentication.ts'
import { NoContent, operation, problems } from '../contract/operations.ts'
import { idOf, Uuid } from '../contract/schemas.ts'

const DESCRIPTION = '`emoji` is exactly one emoji, percent-encoded; variation selectors do not matter. ' +
  'A repetition changes nothing. 409 `message_deleted`: the message is gone, and its reactions with it.'

export function reactionRoutes (app: App, { messageChanges }: Messaging): void {
  const params = Type.Object({ id: Uuid, emoji: Type.String({ examples: ['👍'] }) })
  const codes = ['invalid_emoji', 'not_a_participant', 'message_not_found', 'message_deleted'] as const

  app.put('/messages/:id/reactions/:emoji', {
    schema: {
      ...operation('messages', 'React to a message'),
      description:
        `${DESCRIPTION} 409 \`too_many_reactions\`: a message has at most 20 of one user and 1,000 in all.`,
      params,
      response: { 204: NoContent, ...problems(...codes, 'too_many_reactions') }
    }
  }, async (request, reply) => {
    await messageChanges.react(callerOf(request).userId, idOf(request), request.params.emoji)
    return await reply.code(204).send(null)
  })

  app.delete('/messages/:id/reactions/:emoji', {
    schema: {
      ...operation('messages', 'Take a reaction back'),
      description: DESCRIPTION,
      params,
      response: { 204: NoContent, ...problems(...codes) }
    }
  }, async (request, reply) => {
    await messageChanges.unreact(callerOf(request).userId, idOf(request), request.params.emoji)
    return await reply.code(204).send(null)
  })
}
