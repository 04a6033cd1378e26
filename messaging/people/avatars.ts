/** The avatar of a user: one of their own pictures. The one before goes when no message carries it. */
import { mayBeAvatar } from '../../core/attachment-rules.ts'
import { invalid, unknownUpload } from '../../core/errors.ts'
import { readAttachments, replaceAvatar } from '../../store/attachments.ts'
import { type Database } from '../../store/database.ts'
import { findUser } from '../../store/people/users.ts'
import { lockUsers } from '../../store/locks.ts'

/** Throws `invalid` for what is no picture, or none of the user's own. */
export async function changeAvatar (
  { database, now }: { database: Database, now: () => number }, userId: string, avatar: string | null
): Promise<void> {
  await database.transact(async tx => {
    await lockUsers(tx, [userId])
    const earlier = (await findUser(tx, userId))?.avatar ?? null
    if (earlier === avatar) return
    if (avatar !== null) {
      const found = (await readAttachments(tx, [avatar])).get(avatar)
      if (found?.owner_user_id !== userId) throw unknownUpload()
      if (!mayBeAvatar(found.content_type)) {
        throw invalid('avatar_not_an_image', 'an avatar must be a picture')
      }
    }
    if (!await replaceAvatar(tx, userId, earlier, avatar, new Date(now()))) throw unknownUpload()
  })
}
