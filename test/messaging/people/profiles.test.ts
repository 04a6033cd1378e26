/** A user with many conversations changes their name. */
import { expect, test } from 'vitest'
import { type WakeEvent } from '../../../messaging/deliver/wakes.ts'
import { createAnnounce } from '../../../messaging/log/announce.ts'
import { startNameTelling } from '../../../messaging/people/name-telling.ts'
import { createProfiles, type Profiles } from '../../../messaging/people/profiles.ts'
import { type Messaging } from '../../../messaging/start.ts'
import { type Database } from '../../../store/database.ts'
import { leftToTell } from '../../../store/people/name-changes.ts'
import { until } from '../../support/until.ts'
import { startAlone } from '../cluster/nodes.ts'

const GROUPS = 70
const MEMBERS = 32
const log = { error () {}, warn () {} } as never

async function makeGroups ({ conversations }: Messaging): Promise<void> {
  for (let n = 0; n < GROUPS; n++) {
    await conversations.create('ann', {
      type: 'group', participant_ids: Array.from({ length: MEMBERS - 1 }, (_, i) => `fellow-${n}-${i}`)
    })
  }
}

interface Names extends AsyncDisposable { profiles: Profiles }

/** The names of one process, over a database that may be cut off. */
function startNames (
  { epoch }: Messaging, database: Database, { pieces = [], ...looks }: {
    pieces?: WakeEvent[][], lookMs?: number, idleMs?: number
  } = {}
): Names {
  let transaction = 0
  const now = (): number => ++transaction * 1_000 // each transaction has a time of its own
  const announce =
    createAnnounce({ database, epoch: () => epoch, wake: events => { pieces.push(events) } })
  const telling = startNameTelling({ database, announce, now, log, ...looks })
  return {
    profiles: createProfiles({ database, telling, now: Date.now }),
    [Symbol.asyncDispose]: () => telling[Symbol.asyncDispose]()
  }
}

const toldPerTransaction = async ({ database }: Messaging): Promise<number[]> =>
  (await database.autocommit.rows<{ count: number }>({
    name: 'test_told',
    text: `select count(*)::int as count from inbox_events where type = 'participant_updated'
            group by created_at order by created_at`
  }, [])).map(row => row.count)

const sum = (counts: number[]): number => counts.reduce((sum, count) => sum + count, 0)

test('a new name is told in pieces, no transaction locks all who hear of it', async () => {
  await using node = await startAlone()
  const pieces: WakeEvent[][] = []
  await makeGroups(node.messaging)
  await using names = startNames(node.messaging, node.messaging.database, { pieces })
  await names.profiles.rename('ann', 'Ann')
  expect(pieces.flat()).toHaveLength(GROUPS * MEMBERS)
  expect(await toldPerTransaction(node.messaging)).toEqual([32 * MEMBERS, 32 * MEMBERS, 6 * MEMBERS])
  for (const piece of pieces) expect(new Set(piece.map(event => event.userId)).size).toBeLessThanOrEqual(100)
  const others =
    pieces.flatMap(piece => [...new Set(piece.map(event => event.userId))]).filter(id => id !== 'ann')
  expect(others.length).toBe(new Set(others).size)
})

test('what a process that died left untold of a name, another one tells once', async () => {
  await using node = await startAlone()
  const { database } = node.messaging
  await makeGroups(node.messaging)
  let transactions = 0
  const dying: Database = Object.assign(Object.create(database), {
    transact: async (work: never) => {
      if (++transactions > 2) throw new Error('it has died')
      return await database.transact(work)
    }
  })
  {
    await using died = startNames(node.messaging, dying)
    await died.profiles.rename('ann', 'Ann')
  }
  expect(await toldPerTransaction(node.messaging)).toEqual([32 * MEMBERS, 32 * MEMBERS])
  const looks = { lookMs: 20, idleMs: 0 }
  const living = [startNames(node.messaging, database, looks), startNames(node.messaging, database, looks)]
  try {
    await until(async () => (await leftToTell(database.autocommit, 0)).length === 0, 'nothing is left')
  } finally {
    for (const names of living) await names[Symbol.asyncDispose]()
  }
  expect(sum(await toldPerTransaction(node.messaging))).toBe(GROUPS * MEMBERS)
})
