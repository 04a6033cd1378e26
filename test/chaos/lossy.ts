/**
 * The last fault of a run, judged by itself: a replica that is behind takes over, so that commits are lost
 * which were answered and delivered. What must hold then is that every device learns of it and that nothing
 * hangs: it is told to resync, and gets what comes from then on, in the new epoch and without a hole.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { type Violation } from './checks.ts'
import { type Device, type DoorKind } from './devices/device.ts'
import { isShown } from './devices/shown.ts'
import { type Event } from './event.ts'
import { type DeviceRecord, type Ledger } from './ledger.ts'
import { type LogEnd } from './log-end.ts'
import { inParallel } from './parallel.ts'
import { type ReplicatedPostgres } from './replicas.ts'
import { type Rest } from './rest.ts'
import { readEnds } from './settle.ts'

const PROMISE = 'after a failover that lost commits every device resyncs, and nothing hangs'
const WITHIN_MS = 90_000
const POLL_MS = 200
const SENDERS = 4

export async function loseCommits ({ postgres, rest, ledger, devices }: {
  postgres: ReplicatedPostgres, rest: Rest, ledger: Ledger, devices: Device[]
}): Promise<Violation[]> {
  const conversations = [...ledger.members]
  const userIds = [...new Set(devices.map(({ userId }) => userId))]
  const [someone] = userIds
  const before = {
    connections: ledger.devices.map(({ connections }) => connections.length),
    streams: ledger.streams.map(({ streams }) => streams.length)
  }
  const inboxOf = async (userId: string): Promise<{ epoch: string }> =>
    (await rest.mustGet(userId, '/conversations?limit=1')).inbox
  const toAll = (content: string): Promise<void> =>
    inParallel(SENDERS, conversations, async ([conversation_id, members]) => {
      const [sender] = [...members]
      await rest.must(sender!, 'POST', '/messages', { conversation_id, content, message_type: 'text' })
    })

  const { epoch: earlier } = await inboxOf(someone!)
  await postgres.holdReplica()
  await toAll('lost')
  await postgres.failOver()
  const epoch = await within(async () => {
    const { epoch } = await inboxOf(someone!)
    return epoch === earlier ? undefined : epoch
  })
  if (epoch === undefined) return [{ promise: PROMISE, detail: 'no new epoch has begun' }]
  await toAll('after the loss')

  let behind = devices
  await within(async () => {
    const ends = await readEnds(userIds, rest)
    behind = devices.filter(({ userId, door }) => !door.caughtUp(ends.get(userId)!))
    return behind.length === 0 ? true : undefined
  })
  const ends = await readEnds(userIds, rest)
  const { epoch: last } = await inboxOf(someone!)
  if (last !== epoch) return [{ promise: PROMISE, detail: 'a second epoch has begun after one loss' }]
  const details = [
    ...behind.map(device => `${device} has not got the end of its log`),
    ...ledger.devices.flatMap((record, i) => {
      const device = `${record.userId}/${record.deviceId} (${record.door})`
      const fresh = record.connections.slice(before.connections[i]! - 1)
        .map(events => events.filter(event => event.epoch === epoch))
      const end = ends.get(record.userId)!
      const holed = fresh.some(events => hasHole(events, end, record.door))
      return [
        ...(holed ? [`${device} has a hole in what it got`] : []),
        ...(wasTold(record, fresh) ? [] : [`${device} was not told to resync`])
      ]
    }),
    ...ledger.streams.filter(({ streams }, i) => streams.length === before.streams[i])
      .map(({ userId, deviceId }) => `${userId}/${deviceId} (grpc) has no stream of the new epoch`)
  ]
  return details.map(detail => ({ promise: PROMISE, detail }))
}

/** In what came in the new epoch, of which `tail` is the end that was read. */
function hasHole (events: Event[], { tail, lastSeq }: LogEnd, door: DoorKind): boolean {
  const shown = tail.filter(event => isShown(door, event)).map(({ seq }) => seq)
  return events.some(({ seq }, i) =>
    i > 0 && seq <= lastSeq && shown[shown.indexOf(seq) - 1] !== events[i - 1]!.seq)
}

/**
 * A reader of server-sent events asks for what follows: it is refused, or learns the epoch from what it gets.
 */
function wasTold ({ door, resyncs = 0 }: DeviceRecord, fresh: Event[][]): boolean {
  if (door === 'sse') return resyncs > 0 || fresh.flat().length > 0
  return fresh.flat().some(event => event.type === 'resync_required')
}

async function within<T> (condition: () => Promise<T | undefined>): Promise<T | undefined> {
  for (const deadline = performance.now() + WITHIN_MS; performance.now() < deadline; await sleep(POLL_MS)) {
    const value = await condition()
    if (value !== undefined) return value
  }
  return undefined
}
