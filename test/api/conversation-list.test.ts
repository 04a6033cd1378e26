import { sql } from 'drizzle-orm'
import { expect, test } from 'vitest'
import { createConversationList } from '../../api/conversation-list.ts'
import { type Executor } from '../../store/database.ts'
import { group, startTestApi } from './api.ts'

test('of conversations that are erased while they are listed none is in the list, and it is JSON', async () => {
  await using api = await startTestApi()
  const [alice, bob] = [await api.user('alice'), await api.user('bob')]
  const ids = [await group(alice, bob), await group(alice, bob), await group(alice, bob)]
  const db = api.messaging.database.autocommit
  let gone: string[] = []
  // As an erasure that ends between the two reads.
  const erasedMeanwhile: Executor = {
    orm: db.orm,
    async rows (statement, values) {
      const rows = await db.rows<any>(statement, values)
      if (statement.name === 'conversations_places') {
        for (const id of gone) {
          await db.orm.execute(sql`
            delete from conversation_participants where conversation_id = ${id} and user_id = ${alice.id}`)
        }
      }
      return rows
    }
  }
  const listed = async (): Promise<string[]> => {
    const { conversations } = await createConversationList(erasedMeanwhile).page(alice.id, 50, undefined)
    return JSON.parse(conversations).map(({ id }: { id: string }) => id)
  }
  expect(await listed()).toEqual(ids.toReversed())
  gone = [ids[1]!]
  expect(await listed()).toEqual([ids[2], ids[0]])
  gone = ids
  expect(await listed()).toEqual([])
})
