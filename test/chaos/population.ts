/**
 * Who takes part: users, their conversations, and their devices with a cursor each, set as a client
 * sets it.
 */
import { token, type Cluster } from './cluster.ts'
import { Device } from './device.ts'
import { type Ledger } from './ledger.ts'
import { inParallel } from './parallel.ts'
import { type Random } from './random.ts'
import { type Rest } from './rest.ts'

const DEVICES_PER_USER = 3.3
const USERS_PER_GROUP = 6
const CREATORS = 4

export interface Population {
  userIds: string[]
  devices: Device[]
  conversationIds: string[]
}

export async function populate ({ cluster, rest, ledger, random, deviceCount }: {
  cluster: Cluster, rest: Rest, ledger: Ledger, random: Random, deviceCount: number
}): Promise<Population> {
  const userIds = Array.from({
    length: Math.max(USERS_PER_GROUP, Math.round(deviceCount / DEVICES_PER_USER))
  }, (_, i) => `user-${i + 1}`)
  const wanted = [
    ...userIds.map((userId, i) =>
      ({ type: 'direct', creator: userId, others: [userIds[(i + 1) % userIds.length]!] })),
    ...Array.from({ length: Math.ceil(userIds.length / USERS_PER_GROUP) }, () => {
      const [creator, ...others] = random.shuffle(userIds).slice(0, USERS_PER_GROUP)
      return { type: 'group', creator: creator!, others }
    })
  ]
  await inParallel(CREATORS, wanted, async ({ type, creator, others }) => {
    const { id } = await rest.must(creator, 'POST', '/conversations', { type, participant_ids: others })
    ledger.members.set(id, new Set([creator, ...others]))
  })
  const conversationIds = [...ledger.members.keys()]
  const devices: Device[] = []
  const owners = Array.from(
    { length: deviceCount }, (_, i) => ({ userId: userIds[i % userIds.length]!, deviceId: `device-${i + 1}` })
  )
  await inParallel(CREATORS, owners, async ({ userId, deviceId }) => {
    const record = await takeSnapshot(rest, userId, deviceId)
    ledger.devices.push(record)
    devices.push(new Device({
      record, token: await token(userId), brokers: cluster.brokers, random: random.stream(deviceId), ledger
    }))
  })
  return { userIds, devices, conversationIds }
}

/** What a new device does before it first connects. */
export async function takeSnapshot (rest: Rest, userId: string, deviceId: string) {
  const { inbox } = await rest.mustGet(userId, '/conversations?limit=1')
  await rest.must(userId, 'POST', '/inbox/ack', { seq: inbox.last_seq }, { 'x-device-id': deviceId })
  return { userId, deviceId, startSeq: inbox.last_seq as number, connections: [] }
}
