import { expect, test } from 'vitest'
import { createDatabase } from '../support/database.ts'
import { scratchFolder, startEcho, token } from '../support/echo-process.ts'
import { range, type InboxEvent } from '../support/phone.ts'
import { restClient, type RestClient } from '../support/rest.ts'

const SENDERS = 200
const GROUPS = 20
const GROUPS_PER_SENDER = 4
const MESSAGES_PER_SENDER = 6

interface Sent { senderId: string, conversation: string, n: number, id: string, seq: number }

test('200 concurrent senders leave no hole and no repetition in any sequence', async () => {
  await using folder = await scratchFolder()
  await using database = await createDatabase()
  await using echo = await startEcho({ dataDir: folder.path, env: { DATABASE_URL: database.url } })
  const clients = new Map<string, RestClient>()
  for (let i = 0; i < SENDERS; i++) clients.set(`user-${i}`, restClient(echo.api, await token(`user-${i}`)))
  const groups = await Promise.all(range(0, GROUPS - 1).map(async g => {
    const members = [...clients.keys()].filter((_, i) => groupsOf(i).includes(g))
    const { body } = await clients.get(members[0]!)!(
      'POST', '/conversations', { type: 'group', title: `group ${g}`, participant_ids: members }
    )
    return { id: body.id as string, members }
  }))

  const sent = (await Promise.all([...clients].map(async ([senderId, rest], i) =>
    await sendAll(senderId, rest, groupsOf(i).map(g => groups[g]!.id), groups[outsideOf(i)]!.id)))).flat()
  expect(sent).toHaveLength(SENDERS * MESSAGES_PER_SENDER)

  for (const { id, members } of groups) {
    const messages = await readAll(clients.get(members[0]!)!, id)
    expect(messages.map(message => message.seq)).toEqual(range(1, messages.length))
    const expected = sent.filter(entry => entry.conversation === id).sort((a, b) => a.seq - b.seq)
    expect(messages.map(message => message.id)).toEqual(expected.map(entry => entry.id))
    for (const member of members) {
      const own = expected.filter(entry => entry.senderId === member).map(entry => entry.n)
      expect(own, `${member}'s messages keep their order`).toEqual(own.toSorted((a, b) => a - b))
    }
  }

  for (const [userId, rest] of [...clients].filter((_, i) => i % 10 === 0)) {
    const events = await readInbox(rest)
    expect(events.map(event => event.seq)).toEqual(range(1, events.length))
    const received = events.filter(event => event.type === 'new_message' || event.type === 'message_sent')
      .map(event => event.message.id)
    const mine = new Set(groups.filter(group => group.members.includes(userId)).map(group => group.id))
    expect(received.toSorted()).toEqual(
      sent.filter(entry => mine.has(entry.conversation)).map(entry => entry.id).sort()
    )
  }
})

const groupsOf = (sender: number): number[] =>
  range(0, GROUPS_PER_SENDER - 1).map(k => (sender + k * 3) % GROUPS)
const outsideOf = (sender: number): number => range(0, GROUPS - 1).find(g => !groupsOf(sender).includes(g))!

/**
 * Sends everything in order; every third one twice at the same moment, every fourth with a refused
 * one beside it.
 */
async function sendAll (
  senderId: string, rest: RestClient, conversations: string[], foreign: string
): Promise<Sent[]> {
  const sent: Sent[] = []
  for (let n = 0; n < MESSAGES_PER_SENDER; n++) {
    const conversation = conversations[n % conversations.length]!
    const body = {
      conversation_id: conversation,
      content: `${senderId} says ${n}`,
      message_type: 'text',
      client_message_id: `message-${n}`
    }
    const attempts = await Promise.all([
      rest('POST', '/messages', body),
      ...(n % 3 === 0 ? [rest('POST', '/messages', body)] : [])
    ])
    if (n % 4 === 0) {
      const refused = await Promise.all([
        rest('POST', '/messages', { ...body, content: 'something else' }),
        rest('POST', '/messages', { ...body, conversation_id: foreign, client_message_id: `foreign-${n}` }),
        rest('POST', '/messages', { ...body, content: 'a\0b', client_message_id: `nul-${n}` })
      ])
      expect(refused.map(answer => answer.status)).toEqual([409, 404, 400])
    }
    expect(attempts.map(answer => answer.status).sort()).toEqual(attempts.length === 2 ? [200, 201] : [201])
    expect(new Set(attempts.map(answer => answer.body.id)).size).toBe(1)
    sent.push({ senderId, conversation, n, id: attempts[0]!.body.id, seq: attempts[0]!.body.seq })
  }
  return sent
}

async function readAll (rest: RestClient, conversation: string): Promise<Array<{ id: string, seq: number }>> {
  const messages: Array<{ id: string, seq: number }> = []
  for (let before = ''; ;) {
    const { body } = await rest('GET', `/conversations/${conversation}/messages?limit=200${before}`)
    messages.unshift(...body.messages.reverse())
    if (body.has_more !== true) return messages
    before = `&before_id=${messages[0]!.id}`
  }
}

async function readInbox (rest: RestClient): Promise<InboxEvent[]> {
  const events: InboxEvent[] = []
  for (;;) {
    const { body } = await rest('GET', `/inbox?limit=500&after=${events.at(-1)?.seq ?? 0}`)
    events.push(...body.events)
    if (body.has_more !== true) return events
  }
}
