/**
 * The table of all operations. The rows are kept by noun, in the files beside this one; codes
 * that are common to all (tokens, malformed bodies, the database away, …) have their tests in
 * every-route.test.ts.
 *
 * A new route: add `'METHOD /path/{id}': { success, problems, outsider }` to the file of its noun. The test
 * names what is missing.
 */
import { admin } from './admin.ts'
import { attachments } from './attachments.ts'
import { blocks } from './blocks.ts'
import { conversations } from './conversations.ts'
import { devices } from './devices.ts'
import { drafts } from './drafts.ts'
import { inbox } from './inbox.ts'
import { messageChanges } from './message-changes.ts'
import { messages } from './messages.ts'
import { operations } from './operations.ts'
import { participants } from './participants.ts'
import { users } from './users.ts'
import { type Rows } from './world.ts'

export const ROWS: Rows = {
  ...operations,
  ...messages,
  ...messageChanges,
  ...attachments,
  ...conversations,
  ...participants,
  ...drafts,
  ...inbox,
  ...devices,
  ...users,
  ...blocks,
  ...admin
}
