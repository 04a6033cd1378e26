/**
 * What the client library says of the wire is what the server says of it: it is published without the server,
 * and so repeats the types. The compiler compares them (`npm run typecheck`).
 */
import { expect, expectTypeOf, test } from 'vitest'
import * as library from '../../client/wire/views.ts'
import * as server from '../../core/views.ts'

test('messages and conversations have the same shape on both sides', () => {
  expectTypeOf<library.Message>().toEqualTypeOf<server.MessageView>()
  expectTypeOf<library.Participant>().toEqualTypeOf<server.ParticipantView>()
  expectTypeOf<library.Conversation>().toEqualTypeOf<server.ConversationView>()
  expectTypeOf<library.Draft>().toEqualTypeOf<server.DraftView>()
  expect(library.MAX_PARTICIPANTS_SHOWN).toBe(server.MAX_PARTICIPANTS_SHOWN)
})
