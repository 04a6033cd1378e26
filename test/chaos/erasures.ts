/** Users who come, send, and are erased, one after the other. */
import { setTimeout as sleep } from 'node:timers/promises'
import { ADMIN } from './cluster.ts'
import { type ErasureRecord, type Ledger } from './ledger.ts'
import { type Population } from './population.ts'
import { type Random } from './random.ts'
import { describeAnswer, untilDecided } from './repeat.ts'
import { type Rest } from './rest.ts'

const MAX_ERASED = 500
const MESSAGES = 6
const EVERY_MS = 4_000
const DEADLINE_MS = 120_000
const ROUND_MS = 1_000

export interface Erasures {
  stop (): Promise<void>
}

export function startErasures ({ population, rest, ledger, random }: {
  population: Population, rest: Rest, ledger: Ledger, random: Random
}): Erasures {
  const stopping = new AbortController()
  const running = run().catch((error: unknown) => {
    ledger.incident(`no more erasures: ${(error as Error).message}`)
  })
  return {
    async stop () {
      stopping.abort()
      await running
    }
  }

  async function run (): Promise<void> {
    for (let i = 1; i <= MAX_ERASED && !stopping.signal.aborted; i++) {
      const record = await live(`erased-${i}`, random.pick(population.userIds))
      await sleep(random.between(0, EVERY_MS), undefined, { signal: stopping.signal }).catch(() => {})
      const { answer } = await untilDecided(rest, () =>
        rest.attempt(ADMIN, 'POST', `/admin/users/${record.userId}/erase`))
      record.accepted = answer?.status === 202
      if (!record.accepted) ledger.incident(`erasing ${record.userId} was ${describeAnswer(answer)}`)
    }
  }

  async function live (userId: string, partnerId: string): Promise<ErasureRecord> {
    const { id: conversationId } =
      await rest.must(userId, 'POST', '/conversations', { type: 'direct', participant_ids: [partnerId] })
    const record: ErasureRecord =
      { userId, partnerId, conversationId, contents: [], messageIds: [], accepted: false }
    ledger.erasures.push(record)
    ledger.members.set(conversationId, new Set([partnerId]))
    for (let n = 1; n <= MESSAGES; n++) {
      const content = `${userId} says ${n}`
      const message = await said(record, content, 'POST', '/messages', {
        conversation_id: conversationId, content, message_type: 'text', client_message_id: `${userId}.${n}`
      })
      if (message !== undefined) record.messageIds.push(message.id)
    }
    const [first] = record.messageIds
    const edited = `${userId} says something else`
    if (first !== undefined) await said(record, edited, 'PATCH', `/messages/${first}`, { content: edited })
    return record
  }

  async function said (
    { userId, contents }: ErasureRecord, content: string, method: string, path: string, body: object
  ): Promise<{ id: string } | undefined> {
    contents.push(content)
    const { answer } = await untilDecided(rest, () => rest.attempt(userId, method, path, body))
    if (answer?.status === 201 || answer?.status === 200) return answer.body
    ledger.incident(`${method} ${path} of ${userId} was ${describeAnswer(answer)}`)
    return undefined
  }
}

/** The users whose erasure is not finished, after as long as it may take. */
export async function settleErasures (ledger: Ledger, rest: Rest): Promise<Set<string>> {
  const running = new Set(ledger.erasures.filter(({ accepted }) => accepted).map(({ userId }) => userId))
  const deadline = performance.now() + DEADLINE_MS
  while (running.size > 0 && performance.now() < deadline) {
    for (const userId of running) {
      const { status } = await rest.mustGet(ADMIN, `/admin/users/${userId}/erasure`)
      if (status === 'finished') running.delete(userId)
    }
    if (running.size > 0) await sleep(ROUND_MS)
  }
  return running
}
