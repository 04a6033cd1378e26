/**
 * The ways on which messages are sent: one user, one conversation, one door. A
 * pipelined lane writes a window of commands in one tick and waits for no
 * answer; every other one has a single message under way.
 */
import { type Absent } from './absent.ts'
import { uploaderFor } from './attachments.ts'
import { type Node } from './cluster.ts'
import { type Crowd } from './crowd.ts'
import { type Device } from './devices/device.ts'
import { overGrpc, type Attempt } from './grpc-sender.ts'
import { type Ledger, type Send } from './ledger.ts'
import { type Population } from './population.ts'
import { type Random } from './random.ts'
import { isTransient, type Rest } from './rest.ts'

const LANES_PER_USER = 2
const BY_COMMAND_SHARE = 0.5
/** Of the lanes that are left. */
const GRPC_SHARE = 0.3
const PIPELINED_SHARE = 0.4
const WINDOW = 8
const ATTACHING_LANES = 4
const ATTACHMENT_EVERY_MS = 4_000
const CROWD_EVERY_MS = 3_000
const ABSENT_EVERY_MS = 6_000

export interface Lane {
  name: string
  userId: string
  conversationId: string
  /** Of one message, on the average. */
  intervalMs: number
  /** Messages under way at most. */
  window: number
  attempt: Attempt
  /** Uploads what goes with a message. */
  attach?: () => Promise<string | undefined>
}

export function openLanes ({ population, apis, crowd, absent, rest, ledger, random, ratePerSecond }: {
  population: Population,
  apis: Node[],
  crowd: Crowd,
  absent: Absent,
  rest: Rest,
  ledger: Ledger,
  random: Random,
  ratePerSecond: number
}): Lane[] {
  const overRest = attemptOverRest(rest, ledger)
  const grpc = overGrpc(apis, ledger, random.stream('grpc'))
  const restLane = (userId: string, kind: string, conversationId: string, intervalMs: number): Lane => ({
    name: `${userId}.${kind}.${conversationId}`,
    userId,
    conversationId,
    intervalMs,
    window: 1,
    attempt: overRest
  })
  const inOwn = (userId: string): string => random.pick(
    population.conversationIds.filter(id => ledger.members.get(id)!.has(userId))
  )

  const lanes = new Map<string, Lane>()
  for (const userId of population.userIds) {
    const devices =
      population.devices.filter(device => device.userId === userId && device.door.takesCommands)
    for (let i = 0; i < LANES_PER_USER; i++) {
      const device = devices.length > 0 && random.chance(BY_COMMAND_SHARE) ? random.pick(devices) : undefined
      const pipelined = device !== undefined && random.chance(PIPELINED_SHARE)
      const isGrpc = device === undefined && random.chance(GRPC_SHARE)
      const kind = device?.door.kind ?? (isGrpc ? 'grpc' : 'rest')
      const lane = restLane(userId, pipelined ? `pipelined-${kind}` : kind, inOwn(userId), 0)
      if (device !== undefined) lane.attempt = attemptByCommand(device, ledger)
      if (isGrpc) lane.attempt = grpc
      if (pipelined) lane.window = WINDOW
      lanes.set(lane.name, lane)
    }
  }
  for (const lane of lanes.values()) lane.intervalMs = lanes.size / ratePerSecond * 1_000

  const sizeOf = (id: string): number => ledger.members.get(id)!.size
  const smallestFirst =
    random.shuffle(population.conversationIds).toSorted((a, b) => sizeOf(a) - sizeOf(b))
  const attaching = [
    ...smallestFirst.slice(0, ATTACHING_LANES / 2), ...smallestFirst.slice(-ATTACHING_LANES / 2)
  ].map(id => {
    const userId = random.pick([...ledger.members.get(id)!])
    return {
      ...restLane(userId, 'attaching', id, ATTACHMENT_EVERY_MS),
      attach: uploaderFor(userId, rest, ledger, random.stream(`attachments of ${userId}`))
    }
  })
  return [
    ...lanes.values(),
    ...attaching,
    restLane(crowd.senderId, 'crowd', crowd.conversationId, CROWD_EVERY_MS),
    ...absent.conversations.map(({ senderId, conversationId }) =>
      restLane(senderId, 'absent', conversationId, ABSENT_EVERY_MS))
  ]
}

export const bodyOf = ({ clientMessageId, conversationId, content, attachmentId }: Send): object => ({
  conversation_id: conversationId,
  content,
  message_type: 'text',
  client_message_id: clientMessageId,
  ...(attachmentId === undefined ? {} : { attachment_ids: [attachmentId] })
})

const attemptOverRest = (rest: Rest, ledger: Ledger): Attempt => async sends => {
  for (const send of sends) {
    const answer = await rest.attempt(send.senderId, 'POST', '/messages', bodyOf(send))
    if (answer.status === 201 || answer.status === 200) {
      ledger.accepted(send.clientMessageId, { messageId: answer.body.id, seq: answer.body.seq })
    } else if (!isTransient(answer)) {
      ledger.incident(`${send.clientMessageId} was answered ${answer.status} ${JSON.stringify(answer.body)}`)
    }
  }
}

// A PUBACK is a decision even when the reply got lost; a refusal is noted by the device.
const attemptByCommand = (device: Device, ledger: Ledger): Attempt => async sends => {
  const decided = await device.commands(sends.map(send => ({ type: 'send_message', ...bodyOf(send) })))
    .catch(() => [])
  for (const [i, { clientMessageId }] of sends.entries()) {
    if (decided[i] === true) ledger.accepted(clientMessageId, { messageId: undefined, seq: undefined })
  }
}
