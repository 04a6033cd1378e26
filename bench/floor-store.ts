/**
 * The store of the yardstick `floor`: what is written whatever a server does besides. Everything that waits
 * is one transaction of two round trips, one in flight: users are locked in order and their counters read;
 * then counters, messages and events are written. Nothing is checked, no message has an id of its own, and
 * nobody reads anything. The connections are Echo's.
 */
import { type Executor, openDatabase } from '../store/database.ts'

/** As long as Echo collects acknowledgements. */
const LINGER_MS = 20

interface Item {
  /** Who gets an event; the first one has sent the message, or is told of its receipt. */
  userIds: string[]
  text: string | null
  resolve (): void
}
interface Counters { id: string, last: number }

export interface FloorStore {
  /** Resolves when a message and an event for each of its users are committed. */
  message (userIds: string[], text: string): Promise<void>
  /** The same for an acknowledgement, of which its user's counter and an event for the sender are written. */
  receipt (userIds: string[]): Promise<void>
}

const LOCK = {
  name: 'floor_lock',
  text: 'select id, last from floor_users where id = any($1::text[]) order by id for no key update'
}
const COUNT = {
  name: 'floor_count',
  text: `
    update floor_users u set last = v.last from unnest($1::text[], $2::bigint[]) as v (id, last)
     where u.id = v.id`
}
const MESSAGES = {
  name: 'floor_messages', text: 'insert into floor_messages (text) select unnest($1::text[])'
}
const EVENTS = {
  name: 'floor_events',
  text: 'insert into floor_events (user_id, seq) select * from unnest($1::text[], $2::bigint[])'
}

export async function startFloorStore (url: string): Promise<FloorStore> {
  const database = openDatabase(url)
  const db = database.autocommit
  for (const [name, text] of Object.entries({
    users: 'create table floor_users (id text collate "C" primary key, last bigint not null)',
    messages: 'create table floor_messages (id bigserial primary key, text text not null)',
    events: 'create table floor_events (user_id text collate "C", seq bigint, primary key (user_id, seq))'
  })) await db.rows({ name: `floor_create_${name}`, text }, [])

  const known = new Set<string>()
  const waiting: Item[] = []
  let lingering: Item[] = []
  let busy = false
  let timer: NodeJS.Timeout | undefined

  function begin (): void {
    if (busy || waiting.length === 0) return
    busy = true
    setImmediate(() => {
      const set = waiting.splice(0, 500)
      write(set).then(() => {
        for (const { resolve } of set) resolve()
        busy = false
        begin()
      }, (error: unknown) => { throw error })
    })
  }

  async function write (set: Item[]): Promise<void> {
    const ids = [...new Set(set.flatMap(({ userIds }) => userIds))]
    const added = ids.filter(id => !known.has(id))
    if (added.length > 0) {
      for (const id of added) known.add(id)
      await db.rows(
        { name: 'floor_add', text: 'insert into floor_users select unnest($1::text[]), 0' }, [added]
      )
    }
    await database.commit({
      read: tx => tx.rows<Counters>(LOCK, [ids]),
      async decide (counters) {
        const users = new Map(counters.map(user => [user.id, user]))
        const events = set.flatMap(({ userIds, text }) => text === null ? userIds.slice(0, 1) : userIds)
        const seqs = events.map(id => ++users.get(id)!.last)
        const texts = set.flatMap(({ text }) => text ?? [])
        const writes = [
          (tx: Executor) => tx.rows(COUNT, [counters.map(({ id }) => id), counters.map(({ last }) => last)]),
          ...(texts.length === 0 ? [] : [(tx: Executor) => tx.rows(MESSAGES, [texts])]),
          (tx: Executor) => tx.rows(EVENTS, [events, seqs])
        ]
        return { writes, result: undefined }
      }
    })
  }

  return {
    message: (userIds, text) => new Promise(resolve => {
      waiting.push({ userIds, text, resolve })
      begin()
    }),
    receipt: userIds => new Promise(resolve => {
      lingering.push({ userIds, text: null, resolve })
      timer ??= setTimeout(() => {
        timer = undefined
        waiting.push(...lingering)
        lingering = []
        begin()
      }, LINGER_MS)
    })
  }
}
