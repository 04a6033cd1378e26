/** People who are away: each has a registered phone that never connects, and one who writes to them. */
import { setTimeout as sleep } from 'node:timers/promises'
import { type TakenPush } from '../../tools/fake-fcm/server.ts'
import { type Ledger } from './ledger.ts'
import { type Population } from './population.ts'
import { type Random } from './random.ts'
import { type Rest } from './rest.ts'

const USERS = 8
const DEADLINE_MS = 120_000
const ROUND_MS = 1_000
/** Events after the newest message, such as reactions, are fewer. */
const TAIL = 100

export interface Absent {
  userIds: string[]
  conversations: Array<{ senderId: string, conversationId: string }>
}

export async function registerAbsent (
  { population, rest, ledger, random }: {
    population: Population, rest: Rest, ledger: Ledger, random: Random
  }
): Promise<Absent> {
  const absent: Absent = { userIds: [], conversations: [] }
  for (const [i, senderId] of random.shuffle(population.userIds).slice(0, USERS).entries()) {
    const userId = `absent-${i + 1}`
    const token = `token-of-${userId}`
    await rest.must(userId, 'PUT', '/devices/phone', { platform: 'ios', push_token: token })
    const { id } =
      await rest.must(senderId, 'POST', '/conversations', { type: 'direct', participant_ids: [userId] })
    ledger.members.set(id, new Set([senderId, userId]))
    ledger.absent.set(token, userId)
    absent.userIds.push(userId)
    absent.conversations.push({ senderId, conversationId: id })
  }
  return absent
}

/** How far each absent user was told of each conversation. */
export function toldUpTo (pushes: TakenPush[]): Map<string, number> {
  const told = new Map<string, number>()
  for (const { token, message: { data } } of pushes) {
    const key = `${token} ${data?.conversation_id}`
    told.set(key, Math.max(told.get(key) ?? 0, Number(data?.seq)))
  }
  return told
}

/** Milliseconds until the last message of each was pushed; undefined when time is over first. */
export async function settlePushes (
  ledger: Ledger, rest: Rest, pushes: TakenPush[]
): Promise<number | undefined> {
  const began = performance.now()
  const waiting = new Map<string, { conversationId: string, seq: number }>()
  for (const [token, userId] of ledger.absent) {
    const { inbox, conversations } = await rest.mustGet(userId, '/conversations?limit=1')
    const after = Math.max(0, inbox.last_seq - TAIL)
    const { events } = await rest.mustGet(userId, `/inbox?limit=${TAIL}&after=${after}`)
    const newest = events.findLast(({ type }: { type: string }) => type === 'new_message')
    if (newest !== undefined) waiting.set(token, { conversationId: conversations[0].id, seq: newest.seq })
  }
  while (performance.now() - began < DEADLINE_MS) {
    const told = toldUpTo(pushes)
    for (const [token, { conversationId, seq }] of waiting) {
      if ((told.get(`${token} ${conversationId}`) ?? 0) >= seq) waiting.delete(token)
    }
    if (waiting.size === 0) return performance.now() - began
    await sleep(ROUND_MS)
  }
  return undefined
}
