/**
 * Who takes part: users, their conversations, and their devices at every door. Those that acknowledge set
 * their cursor as a client sets it.
 */
import { token, type Cluster } from './cluster.ts'
import { Device, type DeviceDoor, type DoorKind } from './devices/device.ts'
import { grpcDoor } from './devices/grpc.ts'
import { jsonDoor } from './devices/json.ts'
import { mqttDoor } from './devices/mqtt.ts'
import { sseDoor } from './devices/sse.ts'
import { type DeviceRecord, type Ledger } from './ledger.ts'
import { inParallel } from './parallel.ts'
import { type Random } from './random.ts'
import { type Rest } from './rest.ts'

const DEVICES_PER_USER = 3.3
const USERS_PER_GROUP = 6
const CREATORS = 4
/** Of ten devices in a row, whatever the seed. */
const DOORS: DoorKind[] = [
  'mqtt', 'json-acks', 'mqtt', 'sse', 'mqtt', 'json-pongs', 'mqtt', 'grpc', 'mqtt', 'json-acks'
]
const SLOW_SHARE = 0.1
const SLOW_ACK_MS = 150

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
  const owners = Array.from({ length: deviceCount }, (_, i) => ({
    userId: userIds[i % userIds.length]!, deviceId: `device-${i + 1}`, kind: DOORS[i % DOORS.length]!
  }))
  await inParallel(CREATORS, owners, async ({ userId, deviceId, kind }) => {
    const chance = random.stream(deviceId)
    const door = await openDoor(kind, { userId, deviceId, cluster, rest, ledger, random: chance })
    devices.push(new Device({ userId, deviceId, door, random: chance }))
  })
  return { userIds, devices, conversationIds }
}

async function openDoor (kind: DoorKind, { userId, deviceId, cluster, rest, ledger, random }: {
  userId: string, deviceId: string, cluster: Cluster, rest: Rest, ledger: Ledger, random: Random
}): Promise<DeviceDoor> {
  const { brokers, apis } = cluster
  const part = { token: await token(userId), brokers, apis, random, ledger, rest }
  if (kind === 'grpc') {
    const startSeq = await endOfLog(rest, userId)
    const record = { userId, deviceId, startSeq, streams: [], read: new Set<string>() }
    ledger.streams.push(record)
    return grpcDoor({ ...part, record })
  }
  const record = kind === 'sse'
    ? { userId, deviceId, door: kind, startSeq: await endOfLog(rest, userId), connections: [] }
    : await takeSnapshot(rest, { userId, deviceId, door: kind })
  ledger.devices.push(record)
  const ackDelayMs = random.chance(SLOW_SHARE) ? SLOW_ACK_MS : 0
  if (kind === 'sse') return sseDoor({ ...part, record })
  if (kind === 'mqtt') return mqttDoor({ ...part, record, ackDelayMs })
  return jsonDoor({ ...part, record, ackDelayMs })
}

/** What a new device that acknowledges does before it first connects. */
export async function takeSnapshot (
  rest: Rest, device: Pick<DeviceRecord, 'userId' | 'deviceId' | 'door'>
): Promise<DeviceRecord> {
  const { userId, deviceId } = device
  const seq = await endOfLog(rest, userId)
  await rest.must(userId, 'POST', '/inbox/ack', { seq }, { 'x-device-id': deviceId })
  return { ...device, startSeq: seq, connections: [] }
}

const endOfLog = async (rest: Rest, userId: string): Promise<number> =>
  (await rest.mustGet(userId, '/conversations?limit=1')).inbox.last_seq
