/**
 * The last fault of a run, judged by itself: a replica that is behind takes over, so that commits are lost
 * which were answered and delivered. What must hold then is that every device learns of it and that nothing
 * hangs: it is told to resync, and gets what comes from then on, in the new epoch and without a hole.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { type Violation } from './checks.ts'
import { type Device } from './device.ts'
import { type Event } from './event.ts'
import { type Ledger } from './ledger.ts'
import { inParallel } from './parallel.ts'
import { type ReplicatedPostgres } from './replicas.ts'
import { type Rest } from './rest.ts'

const PROMISE = 'after a failover that lost commits every device resyncs, and nothing hangs'
const WITHIN_MS = 90_000
const POLL_MS = 200
const SENDERS = 4

export async function loseCommits ({ postgres, rest, ledger, devices }: {
  postgres: ReplicatedPostgres, rest: Rest, ledger: Ledger, devices: Device[]
}): Promise<Violation[]> {
  const conversations = [...ledger.members]
  const userIds = [...new Set(devices.map(({ record }) => record.userId))]
  const [someone] = userIds
  const connectionsBefore = new Map(devices.map(device => [device, device.record.connections.length]))
  const inboxOf = async (userId: string): Promise<{ epoch: string, last_seq: number }> =>
    (await rest.mustGet(userId, '/conversations?limit=1')).inbox
  const toAll = (content: string): Promise<void> =>
    inParallel(SENDERS, conversations, async ([conversation_id, members]) => {
      const [sender] = [...members]
      await rest.must(sender!, 'POST', '/messages', { conversation_id, content, message_type: 'text' })
    })

  const { epoch: before } = await inboxOf(someone!)
  await postgres.holdReplica()
  await toAll('lost')
  await postgres.failOver()
  const epoch = await within(async () => {
    const { epoch } = await inboxOf(someone!)
    return epoch === before ? undefined : epoch
  })
  if (epoch === undefined) return [{ promise: PROMISE, detail: 'no new epoch has begun' }]
  await toAll('after the loss')

  const fresh = (device: Device): Event[][] => device.record.connections
    .slice(connectionsBefore.get(device)! - 1).map(events => events.filter(event => event.epoch === epoch))
  const ends = new Map<string, number>()
  const caughtUp = (device: Device): boolean =>
    fresh(device).at(-1)?.at(-1)?.seq === ends.get(device.record.userId)
  await within(async () => {
    for (const userId of userIds) ends.set(userId, (await inboxOf(userId)).last_seq)
    return devices.every(caughtUp) ? true : undefined
  })
  const { epoch: last } = await inboxOf(someone!)
  if (last !== epoch) return [{ promise: PROMISE, detail: 'a second epoch has begun after one loss' }]
  return devices.flatMap(device => {
    const { userId, deviceId } = device.record
    const events = fresh(device)
    const holes = events.some(own => own.some((event, i) => i > 0 && event.seq !== own[i - 1]!.seq + 1))
    const told = events.flat().some(event => event.type === 'resync_required')
    return [
      ...(caughtUp(device) ? [] : [`has not got the end of its log (${ends.get(userId)})`]),
      ...(holes ? ['has a hole in what it got'] : []), ...(told ? [] : ['was not told to resync'])
    ].map(what => ({ promise: PROMISE, detail: `${userId}/${deviceId} ${what}` }))
  })
}

async function within<T> (condition: () => Promise<T | undefined>): Promise<T | undefined> {
  for (const deadline = performance.now() + WITHIN_MS; performance.now() < deadline; await sleep(POLL_MS)) {
    const value = await condition()
    if (value !== undefined) return value
  }
  return undefined
}
