/** Users: the own profile, and the profiles and presence of users the caller shares a conversation with. */
import { Type } from 'typebox'
import { AppError, invalid } from '../../core/errors.ts'
import { checkName } from '../../core/identity.ts'
import { checkText } from '../../core/message-rules.ts'
import { changeAvatar } from '../../messaging/people/avatars.ts'
import { type Messaging } from '../../messaging/start.ts'
import { countNameAudience, findProfile } from '../../store/people/profiles.ts'
import { findUser } from '../../store/people/users.ts'
import { type App } from '../app.ts'
import { callerOf } from '../authentication.ts'
import { operation, problems } from '../contract/operations.ts'
import { costOf, type Spend } from '../limits/allowances.ts'
import { OwnProfile, Presence, Profile, refer, UserById, Uuid } from '../contract/schemas.ts'

const MAX_NAME_LENGTH = 200

export function userRoutes (
  app: App, { database, presenceViews, profiles, now }: Messaging, spend: Spend
): void {
  const profile = async (userId: string) => {
    const user = await findUser(database.autocommit, userId)
    if (user === undefined) throw unknownUser()
    return user
  }

  app.get('/users/me', {
    schema: { ...operation('users', 'Own profile'), response: { 200: refer(OwnProfile, 'The own profile') } }
  }, request => profile(callerOf(request).userId))

  app.put('/users/me', {
    schema: {
      ...operation('users', 'Change the own name, or avatar'),
      body: Type.Object({
        name: Type.Optional(Type.String({
          description: `1 to ${MAX_NAME_LENGTH} code points`, examples: ['Alice']
        })),
        avatar: Type.Optional(Type.Union(
          [Uuid, Type.Null()], { description: 'An own attachment that is a picture; null for none' }
        ))
      }, { additionalProperties: false, minProperties: 1 }),
      response: {
        200: refer(OwnProfile, 'The own profile'),
        ...problems('invalid_name', 'invalid_text', 'avatar_not_an_image', 'unknown_attachment')
      }
    }
  }, async request => {
    const { userId } = callerOf(request)
    const { avatar } = request.body
    const name = request.body.name?.trim()
    const length = name === undefined ? undefined : checkText(name, 'name')
    if (name !== undefined) checkName(name, 'name')
    if (length === 0 || (length ?? 1) > MAX_NAME_LENGTH) {
      throw invalid('invalid_name', `a name has 1 to ${MAX_NAME_LENGTH} code points`)
    }
    if (name !== undefined) {
      await spend('names', userId, costOf.naming(await countNameAudience(database.autocommit, userId)))
    }
    if (avatar !== undefined) await changeAvatar({ database, now }, userId, avatar?.toLowerCase() ?? null)
    if (name !== undefined) await profiles.rename(userId, name)
    return await profile(userId)
  })

  app.get('/users/:id', {
    schema: {
      ...operation('users', 'The profile of a user the caller shares a conversation with'),
      description: 'Any shared conversation shows the name. The avatar needs a direct one, else it is null.',
      params: UserById,
      response: { 200: refer(Profile, 'What others see'), ...problems('user_not_found') }
    }
  }, async request => {
    const found = await findProfile(database.autocommit, callerOf(request).userId, request.params.id)
    if (found === undefined) throw unknownUser()
    return found
  })

  app.get('/users/:id/presence', {
    schema: {
      ...operation('users', 'Whether a user is online'),
      description: 'For users the caller shares a direct conversation with. ' +
        'When one of the two blocks the other, the user looks as if they had never been online.',
      params: UserById,
      response: { 200: refer(Presence, 'Online, or when last seen'), ...problems('user_not_found') }
    }
  }, async request => {
    const view = await presenceViews.find(callerOf(request).userId, request.params.id)
    if (view === undefined) {
      throw new AppError(
        'not_found', 'user_not_found',
        'there is no such user among those you share a direct conversation with'
      )
    }
    return view
  })
}

const unknownUser = (): AppError => new AppError(
  'not_found', 'user_not_found', 'there is no such user among those you share a conversation with'
)
