/** Blocks: the users that a user does not want to hear of. */
import { Type } from 'typebox'
import { type Messaging } from '../../messaging/start.ts'
import { listBlocks } from '../../store/people/blocks.ts'
import { type App } from '../app.ts'
import { callerOf } from '../authentication.ts'
import { NoContent, operation, problems } from '../contract/operations.ts'
import { DEFAULT_PAGE, pageLimit, pageOf } from '../contract/paging.ts'
import { BlockPage, refer, UserId } from '../contract/schemas.ts'

const OneUser = Type.Object({ user_id: UserId })

export function blockRoutes (app: App, { blocks, database }: Messaging): void {
  app.get('/blocks', {
    schema: {
      ...operation('users', 'List the users the caller blocks, by user id'),
      querystring: Type.Object({
        limit: pageLimit(),
        cursor: Type.Optional({ ...UserId, description: '`next_cursor` of the page before' })
      }),
      response: { 200: refer(BlockPage, 'A page'), ...problems() }
    }
  }, async request => {
    const { limit = DEFAULT_PAGE, cursor = '' } = request.query
    const { page, more } =
      pageOf(await listBlocks(database.autocommit, callerOf(request).userId, limit + 1, cursor), limit)
    return {
      blocks: page.map(({ user_id, created_at }) => ({ user_id, created_at: created_at.toISOString() })),
      next_cursor: more ? page.at(-1)!.user_id : null
    }
  })

  app.put('/blocks/:user_id', {
    schema: {
      ...operation('users', 'Block a user'),
      description: 'In a direct conversation their messages are hidden from now on, for good; ' +
        'in groups they arrive without a push. Neither sees the other typing or online. They are not told.',
      params: OneUser,
      response: { 204: NoContent, ...problems('invalid_block', 'too_many_blocks') }
    }
  }, async (request, reply) => {
    await blocks.block(callerOf(request).userId, request.params.user_id)
    return await reply.code(204).send(null)
  })

  app.delete('/blocks/:user_id', {
    schema: {
      ...operation('users', 'Unblock a user'),
      description: 'What they send from now on is shown; what was hidden stays hidden.',
      params: OneUser,
      response: { 204: NoContent, ...problems('invalid_block') }
    }
  }, async (request, reply) => {
    await blocks.unblock(callerOf(request).userId, request.params.user_id)
    return await reply.code(204).send(null)
  })
}
