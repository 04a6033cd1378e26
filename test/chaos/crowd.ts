/** A group larger than what conversation views show; most of its members have no device. */
import { type Ledger } from './ledger.ts'
import { type Population } from './population.ts'
import { type Random } from './random.ts'
import { type Rest } from './rest.ts'

const MEMBERS = 200
const FROM_POPULATION = 12

export interface Crowd { userIds: string[], conversationId: string, senderId: string }

export async function gatherCrowd (
  { population, rest, ledger, random }: {
    population: Population, rest: Rest, ledger: Ledger, random: Random
  }
): Promise<Crowd> {
  const [senderId, ...others] = random.shuffle(population.userIds).slice(0, FROM_POPULATION) as
    [string, ...string[]]
  const userIds = Array.from({ length: MEMBERS - others.length - 1 }, (_, i) => `crowd-${i + 1}`)
  const { id: conversationId } = await rest.must(senderId, 'POST', '/conversations', {
    type: 'group', participant_ids: [...others, ...userIds]
  })
  ledger.members.set(conversationId, new Set([senderId, ...others, ...userIds]))
  return { userIds, conversationId, senderId }
}
