/** A group of 1,000 online members over real sockets: each device hears of it, and no other user waits. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createAnnounce } from '../../../messaging/log/announce.ts'
import { type WakeEvent } from '../../../messaging/deliver/wakes.ts'
import { type AppendedEvent } from '../../../store/log/inbox.ts'
import {
  pubackPacket, startTestBroker, subscribePacket, type Device, type RawClient, type TestBroker
} from '../../support/broker.ts'
import { until } from '../../support/until.ts'

const MEMBERS = Array.from({ length: 1_000 }, (_, i) => `member-${String(i).padStart(4, '0')}`)
const AT_ONCE = 50

let broker: TestBroker
let phones: Map<string, RawClient>
let reader: Device
let pair: string

beforeAll(async () => {
  broker = await startTestBroker()
  reader = await broker.device('reader', { subscribe: ['user/reader/inbox'] })
  pair = await broker.direct('writer', 'reader')
  phones = new Map()
  for (let i = 0; i < MEMBERS.length; i += AT_ONCE) {
    const some = MEMBERS.slice(i, i + AT_ONCE)
    await Promise.all(some.map(async user => { phones.set(user, await online(user)) }))
  }
})
afterAll(async () => { await broker?.[Symbol.asyncDispose]() })

/** A device that acknowledges everything. */
async function online (user: string): Promise<RawClient> {
  const phone = await broker.rawDevice(user, { clean: false, clientId: 'phone' })
  phone.packet(subscribePacket(1, `user/${user}/inbox`))
  await phone.nth('suback', 1)
  return phone
}

/** Acknowledges what came and returns it, once every member has this many events. */
async function heard (count: number): Promise<Map<string, any[]>> {
  const events = (user: string): any[] =>
    phones.get(user)!.of('publish').map(packet => JSON.parse(packet.payload.toString()))
  const hasHeard = (user: string): boolean => phones.get(user)!.of('publish').length >= count
  await until(() => MEMBERS.every(hasHeard), 'all have heard')
  for (const phone of phones.values()) phone.packet(pubackPacket(phone.of('publish').at(-1)!.messageId!))
  return new Map(MEMBERS.map(user => [user, events(user)]))
}

/** Sends messages between two others for as long as something else takes; returns how many that were. */
async function sendsDuring (work: Promise<unknown>): Promise<number> {
  const run = { over: false }
  const done = work.finally(() => { run.over = true })
  let sent = 0
  while (!run.over) {
    await broker.say('writer', pair, `beside ${++sent}`)
  }
  await done
  return sent
}

test('a new group of 1,000 reaches every device as one event with the own participant, and others go on', async () => {
  const [creator, ...others] = MEMBERS
  const before = reader.events.length
  const creating = broker.messaging.conversations.create(
    creator!, { type: 'group', participant_ids: others, title: 'All' }
  )
  const sent = await sendsDuring(creating)
  const { conversation, created } = await creating
  expect(created).toBe(true)
  expect([conversation.participant_count, conversation.participants.length]).toEqual([1_000, 1])
  expect(sent).toBeGreaterThan(2)
  await until(() => reader.events.length - before === sent, 'the others have their messages')

  const events = await heard(1)
  for (const user of MEMBERS) {
    expect(events.get(user)).toMatchObject([{
      seq: 1,
      type: 'conversation_created',
      conversation: { id: conversation.id, participant_count: 1_000, participants: [{ user_id: user }] }
    }])
  }
})

test('a new title reaches every device of 1,000, and others go on', async () => {
  const [creator] = MEMBERS
  const { id } = await broker.sql('select id from conversations where participant_count = 1000')
    .then(rows => rows[0])
  const updating = broker.messaging.conversations.update(creator!, id, { title: 'All of us' })
  expect(await sendsDuring(updating)).toBeGreaterThan(2)
  const events = await heard(2)
  for (const user of MEMBERS) {
    expect(events.get(user)!.at(-1)).toMatchObject({
      seq: 2,
      type: 'conversation_updated',
      conversation: { title: 'All of us', participants: [{ user_id: user }] }
    })
  }
})

test('recipients are told in pieces between which the process does other work, each user in one piece', async () => {
  const { database, epoch } = broker.messaging
  const { id } = (await broker.sql('select id from conversations where participant_count = 1000'))[0]
  const pieces: Array<{ events: WakeEvent[], turns: number }> = []
  let turns = 0
  const run = { over: false }
  const count = (): void => { if (!run.over) setImmediate(() => { turns++; count() }) }
  count()
  const announce =
    createAnnounce({ database, epoch: () => epoch, wake: events => { pieces.push({ events, turns }) } })
  await announce(MEMBERS.flatMap((user_id): AppendedEvent[] => [
    { user_id, seq: 3, type: 'conversation_updated', conversation_id: id },
    { user_id, seq: 4, type: 'participant_removed', conversation_id: id, data: { user_id: 'gone' } }
  ]))
  run.over = true
  expect(pieces.flatMap(({ events }) => events)).toHaveLength(2_000)
  for (const [i, { events, turns }] of pieces.entries()) {
    expect(new Set(events.map(event => event.userId)).size).toBeLessThanOrEqual(100)
    expect(events.map(event => event.seq)).toEqual(events.map((_, n) => n % 2 === 0 ? 3 : 4))
    expect(events.every(event => event.body !== undefined)).toBe(true)
    if (i > 0) expect(turns).toBeGreaterThan(pieces[i - 1]!.turns)
  }
})

test('without the database after the commit all are still woken, to read what happened later', async () => {
  const { epoch, database } = broker.messaging
  const wakes: WakeEvent[] = []
  const announce = createAnnounce({ database, epoch: () => epoch, wake: events => { wakes.push(...events) } })
  const restore = await broker.cutDatabase()
  try {
    await announce(MEMBERS.map(user_id =>
      ({ user_id, seq: 9, type: 'conversation_updated', conversation_id: pair })))
  } finally {
    await restore()
  }
  expect(wakes.map(({ userId }) => userId)).toEqual(MEMBERS)
  expect(wakes.every(({ seq, body }) => seq === 9 && body === undefined)).toBe(true)
})
