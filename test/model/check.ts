/**
 * Snapshot plus deltas equals snapshot, for every user of a world in which some
 * actions happened: events from the beginning, events from any look at what there
 * was on the way, and events as a phone got them, all lead to what is there now. And no status
 * that was seen on the way has fallen, whoever left or came back.
 */
import { expect } from 'vitest'
import { apply } from '../../client/model/apply.ts'
import { emptyCopy } from '../../client/model/copy.ts'
import { type Copy } from '../../client/model/held.ts'
import { type InboxEvent } from '../../client/wire/events.ts'
import { MAX_PARTICIPANTS_SHOWN, type ConversationView, type DeliveryState } from '../../core/views.ts'
import { type Caller } from '../api/api.ts'
import { type Action } from './actions.ts'
import { openCopy, showCopy, showSnapshot, type Snapshot } from './shown.ts'
import { createWorld, groundOf, readInbox, readParticipants, takeSnapshot, type Echo } from './world.ts'

/** A copy made along the way, and where its events begin: at the snapshot, or some time before it. */
interface Look { by: number, copy: Copy, after: number, statuses: Map<string, DeliveryState> }

const RANK: Record<DeliveryState, number> = { sent: 0, delivered: 1, read: 2 }

/** By message, of what the user sees. */
const statusesIn = ({ histories }: Snapshot): Map<string, DeliveryState> =>
  new Map([...histories.values()].flat().map(({ id, status }) => [id, status]))

export async function check (echo: Echo, seen: Map<string, number>, actions: Action[]): Promise<void> {
  await using world = await createWorld(groundOf(echo))
  const looks: Look[] = []
  const begun = await Promise.all(world.users.map(async user =>
    (await user.get('/inbox?limit=1')).body.last_seq as number))
  for (const action of actions) {
    if (action.do === 'look') {
      const by = action.by % world.users.length
      const user = world.users[by]!
      const snapshot = await takeSnapshot(user)
      const { lastSeq } = snapshot
      // A snapshot may be newer than the seq it is said to continue from: then events tell what it
      // shows already.
      looks.push({
        by,
        copy: openCopy(user.id, snapshot),
        after: Math.floor(action.by / world.users.length) % 2 === 0 ? lastSeq : begun[by]!,
        statuses: statusesIn(snapshot)
      })
      begun[by] = lastSeq
    }
    await world.perform(action)
  }
  await world.settle()
  const untold = await world.untold()

  for (const [i, user] of world.users.entries()) {
    const snapshot = await takeSnapshot(user)
    const expected = showSnapshot(user.id, snapshot, untold)
    for (const conversation of snapshot.conversations) await checkParticipants(user, conversation)
    const { events } = await readInbox(user, 0, 7)
    for (const { type } of events) seen.set(type, (seen.get(type) ?? 0) + 1)
    expect(events.map(event => event.seq)).toEqual(events.map((_, index) => index + 1))
    const follow = (copy: Copy, log: InboxEvent[]): object[] =>
      showCopy(log.reduce(apply, copy), untold)

    expect(follow(emptyCopy(user.id), events), `user ${i} from the beginning`).toEqual(expected)
    expect(
      follow(emptyCopy(user.id), events.flatMap(event => [event, event])), `user ${i}, every event twice`
    ).toEqual(expected)
    if (i === 0) {
      const events = world.phone!.events as InboxEvent[]
      expect(
        follow(emptyCopy(user.id), events), 'the phone of user 0, as things happened'
      ).toEqual(expected)
    }
    const statuses = statusesIn(snapshot)
    for (const look of looks.filter(({ by }) => by === i)) {
      const fallen =
        [...look.statuses].filter(([id, before]) => RANK[statuses.get(id) ?? before] < RANK[before])
      expect(fallen, `statuses that user ${i} saw fall`).toEqual([])
      expect(
        follow(look.copy, events.filter(event => event.seq > look.after)), `user ${i} after ${look.after}`
      ).toEqual(expected)
    }
  }
}

/** The view has all of them, or counts them and has the viewer. */
async function checkParticipants (
  user: Caller, { id, participants, participant_count }: ConversationView
): Promise<void> {
  const all = await readParticipants(user, id)
  expect(all).toHaveLength(participant_count)
  const shown = all.filter(({ user_id }) =>
    participant_count <= MAX_PARTICIPANTS_SHOWN || user_id === user.id)
  const byId = participants.toSorted((a, b) => a.user_id < b.user_id ? -1 : 1)
  expect(byId).toEqual(shown)
}
