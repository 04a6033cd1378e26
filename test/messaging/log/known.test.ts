/**
 * What is known from earlier batches is a guess: whoever else has changed the rows meanwhile, nothing is
 * lost, doubled or decided by what is not true any more.
 */
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { type MessageView } from '../../../core/views.ts'
import { StatementGroup } from '../../../store/connections/statement-group.ts'
import { createDatabase, runSql, type TestDatabase } from '../../support/database.ts'
import { startNode, type Node } from '../cluster/nodes.ts'

let file: TestDatabase
let node: Node
let pair: string
beforeEach(async () => {
  file = await createDatabase()
  node = await startNode(file)
  pair = await direct(node, 'alice', 'bob')
  await say(node, 'alice', pair, 'so that it is known')
})
afterEach(async () => {
  vi.restoreAllMocks()
  await node[Symbol.asyncDispose]()
  await file[Symbol.asyncDispose]()
})

async function direct ({ messaging }: Node, one: string, other: string): Promise<string> {
  const { conversation } =
    await messaging.conversations.create(one, { type: 'direct', participant_ids: [other] })
  return conversation.id
}

const say = ({ messaging }: Node, senderId: string, conversation_id: string, content: string, id?: string) =>
  messaging.sends.send({
    senderId, draft: { conversation_id, content, message_type: 'text', client_message_id: id }
  })

const rows = <Row>(name: string, text: string, values: unknown[]): Promise<Row[]> =>
  node.messaging.database.autocommit.rows<Row>({ name: `test_${name}`, text }, values)

/** What a user was sent, in the order of their log. */
const contents = async (userId: string): Promise<string[]> => (await rows<{ content: string }>('contents', `
  select m.content from inbox_events e join messages m on m.id = e.message_id
   where e.user_id = $1 and e.type = 'new_message' order by e.seq`, [userId])).map(row => row.content)

/** Names of the statements that batches send from here on. */
function watchBatches (): string[] {
  const names: string[] = []
  const add = StatementGroup.prototype.add
  vi.spyOn(StatementGroup.prototype, 'add').mockImplementation(async function (
    this: StatementGroup, statement, values
  ) {
    names.push(statement.name)
    return await add.call(this, statement, values)
  })
  return names
}

describe('a batch about what is known', () => {
  test('begins, writes and commits in one go', async () => {
    const names = watchBatches()
    await say(node, 'alice', pair, 'hello')
    await say(node, 'bob', pair, 'hello back')
    const one = ['begin', 'sends_write_1_1', 'inbox_append_2_2', 'push_due_schedule_1', 'commit']
    expect(names).toEqual([...one, ...one])
  })

  test('asks only for what is not known', async () => {
    const other = await direct(node, 'alice', 'carol')
    const names = watchBatches()
    await Promise.all([say(node, 'alice', pair, 'hello'), say(node, 'alice', other, 'you too')])
    expect(names.slice(0, names.indexOf('begin'))).toEqual([
      'locks_find_conversations', 'locks_find_members', 'sends_members_1'
    ])
  })

  test('finds a repeat, and looks for more of that sender at once', async () => {
    const { message } = await say(node, 'alice', pair, 'once', 'c-1')
    const names = watchBatches()
    const again = await say(node, 'alice', pair, 'once', 'c-1')
    expect([again.repeated, again.message.id]).toEqual([true, message.id])
    expect(names.filter(name => name === 'begin')).toHaveLength(2)
    names.splice(0)
    expect(await say(node, 'alice', pair, 'once', 'c-1')).toMatchObject({ repeated: true })
    expect(names.filter(name => name === 'begin')).toHaveLength(1)
    await expect(say(node, 'alice', pair, 'something else', 'c-1')).rejects.toThrow('already used')
    expect(await contents('bob')).toEqual(['so that it is known', 'once'])
  })
})

test('a process that has just begun finds what is sent again at once', async () => {
  await say(node, 'alice', pair, 'once', 'c-1')
  await using other = await startNode(file)
  const names = watchBatches()
  expect(await say(other, 'alice', pair, 'once', 'c-1')).toMatchObject({ repeated: true })
  expect(names.filter(name => name === 'begin')).toHaveLength(1)
})

describe('what somebody else has changed meanwhile', () => {
  test('events of another process', async () => {
    await runSql(file.url, `
      update users set inbox_seq = inbox_seq + 1 where id = 'bob';
      insert into inbox_events (user_id, seq, type, conversation_id, data, created_at)
      select id, inbox_seq, 'participant_updated', '${pair}', '{}', now() from users where id = 'bob'`)
    await say(node, 'alice', pair, 'behind it')
    const events = await node.messaging.inboxLog.after('bob', 0, 10)
    expect(events.map(({ seq, body }) => [seq, body.type])).toEqual([
      [1, 'conversation_created'], [2, 'new_message'], [3, 'participant_updated'], [4, 'new_message']
    ])
  })

  test('events of this process cost no second attempt', async () => {
    const { message } = await say(node, 'alice', pair, 'to be liked')
    await node.messaging.messageChanges.react('bob', message.id, '👍')
    const names = watchBatches()
    await say(node, 'alice', pair, 'thanks')
    expect(names.filter(name => name === 'begin')).toHaveLength(1)
  })

  test('members who left', async () => {
    await leftElsewhere('bob')
    await say(node, 'alice', pair, 'to nobody')
    await expect(say(node, 'bob', pair, 'from outside')).rejects.toThrow('no longer a participant')
    expect(await contents('bob')).toEqual(['so that it is known'])
  })

  test('rights that were taken, and given back', async () => {
    await rightsElsewhere(false)
    await expect(say(node, 'alice', pair, 'refused')).rejects.toThrow('may not send')
    await rightsElsewhere(true)
    await say(node, 'alice', pair, 'allowed')
    expect(await contents('bob')).toEqual(['so that it is known', 'allowed'])
  })

  test('a block that begins and ends', async () => {
    await node.messaging.blocks.block('bob', 'alice')
    await say(node, 'alice', pair, 'hidden')
    await node.messaging.blocks.unblock('bob', 'alice')
    await say(node, 'alice', pair, 'shown')
    expect(await contents('bob')).toEqual(['so that it is known', 'shown'])
  })

  test('a receipt of another process is told once', async () => {
    const { message } = await say(node, 'alice', pair, 'hello')
    await runSql(file.url, `
      update conversation_participants set last_delivered_seq = 2
       where conversation_id = '${pair}' and user_id = 'bob'`)
    await acknowledge('bob', 3, message)
    expect(await told('alice', 'message_delivered')).toEqual([])

    const { message: next } = await say(node, 'alice', pair, 'hello again')
    const names = watchBatches()
    await acknowledge('bob', 4, next)
    expect(names.filter(name => name === 'begin'), 'what was wrong is not believed twice').toHaveLength(1)
    expect(await told('alice', 'message_delivered')).toEqual([3])
  })

  const leftElsewhere = (userId: string) => runSql(file.url, `
    update conversations set members_version = members_version + 1 where id = '${pair}';
    update conversation_participants set left_at = now(), left_seq = 1
     where conversation_id = '${pair}' and user_id = '${userId}'`)

  const rightsElsewhere = (allowed: boolean) => runSql(file.url, `
    update conversations set members_version = members_version + 1 where id = '${pair}';
    update conversation_participants set can_send_messages = ${allowed}
     where conversation_id = '${pair}' and user_id = 'alice'`)
})

async function acknowledge (
  userId: string, seq: number, { id, conversation_id, ...message }: MessageView
): Promise<void> {
  const { acknowledgements } = node.messaging
  acknowledgements.add({
    userId,
    deviceId: 'phone',
    seq,
    deliveries: [{
      conversation_id,
      sender_user_id: 'alice',
      message_id: id,
      seq: message.seq,
      stored_at: Date.now(),
      told: true
    }]
  })
  await acknowledgements.settled(userId)
}

const told = async (userId: string, type: string): Promise<number[]> =>
  (await rows<{ seq: number }>('told', `
    select (data->>'up_to_seq')::int as seq from inbox_events
     where user_id = $1 and type = $2 order by seq`, [userId, type])).map(row => row.seq)

test('two processes that know nothing of each other send into the same conversations', async () => {
  await using other = await startNode(file)
  const people = ['alice', 'bob', 'carol', 'dave', 'erin']
  const pairs = people.flatMap((one, i) => people.slice(i + 1).map(two => [one, two] as const))
  const conversations = await Promise.all(pairs.map(([one, two]) => direct(node, one, two)))
  const sent: string[] = []
  await Promise.all([node, other].flatMap((from, n) => pairs.map(async ([one, two], i) => {
    for (let k = 0; k < 20; k++) {
      const content = `${n}/${i}/${k}`
      await say(from, k % 2 === 0 ? one : two, conversations[i]!, content, content)
      sent.push(content)
    }
  })))
  expect(sent).toHaveLength(2 * pairs.length * 20)
  const heard: string[] = []
  for (const person of people) {
    const events = await node.messaging.inboxLog.after(person, 0, 1_000)
    expect(events.map(({ seq }) => seq)).toEqual(events.map((_, i) => i + 1))
    heard.push(...await contents(person))
  }
  expect(heard.filter(content => content.includes('/')).sort()).toEqual(sent.sort())
  // What one process sent into a conversation, it sent in order.
  const stored = await rows<{ id: string, seq: number, content: string }>('stored', `
    select conversation_id as id, seq, content from messages where content like '%/%' order by 1, 2`, [])
  for (const id of conversations) {
    const own = stored.filter(message => message.id === id)
    expect(own.map(({ seq }) => seq - own[0]!.seq)).toEqual(own.map((_, i) => i))
    for (const n of [0, 1]) {
      const turns = own.map(({ content }) => content.split('/')).filter(([from]) => from === `${n}`)
      expect(turns.map(([, , k]) => Number(k))).toEqual(Array.from({ length: 20 }, (_, k) => k))
    }
  }
})
