/**
 * People who edit what they sent and react to what came, each change repeated until it is decided. An attempt
 * without an answer may still take effect after a later change, so its change is the last one there.
 */
import { setMaxListeners } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Ledger, type Send } from './ledger.ts'
import { type Random } from './random.ts'
import { describeAnswer, untilDecided, type Decision } from './repeat.ts'
import { type Rest } from './rest.ts'

const EDITORS = 3
const REACTING = 4
const INTERVAL_MS = 900
const REMEMBERED = 200
const MAX_EDITS = 5
const EMOJI = ['👍', '🎉', '😀', '🚀']

export interface Editors {
  /** Notes a message that may be changed. */
  sent (send: Send): void
  stop (): Promise<void>
}

export function startEditors ({ rest, ledger, random }: {
  rest: Rest, ledger: Ledger, random: Random
}): Editors {
  const stopping = new AbortController()
  setMaxListeners(0, stopping.signal)
  const sent: Array<{ send: Send, messageId: string }> = []
  /** Messages under edit and those that must not be edited again; the same of reactions. */
  const closed = new Set<string>()
  const running = [
    ...Array.from({ length: EDITORS }, (_, i) => work(edit, random.stream(`editor ${i}`))),
    ...Array.from({ length: REACTING }, (_, i) => work(react, random.stream(`reacting ${i}`)))
  ]
  return {
    sent (send) {
      const messageId = send.acceptances.find(acceptance => acceptance.messageId !== undefined)?.messageId
      if (messageId === undefined) return
      sent.push({ send, messageId })
      if (sent.length > REMEMBERED) sent.shift()
    },
    async stop () {
      stopping.abort()
      await Promise.all(running)
    }
  }

  async function work (change: (chance: Random) => Promise<void>, chance: Random): Promise<void> {
    while (!stopping.signal.aborted) {
      await sleep(chance.between(0.5, 1.5) * INTERVAL_MS, undefined, { signal: stopping.signal })
        .catch(() => {})
      if (sent.length > 0 && !stopping.signal.aborted) await change(chance)
    }
  }

  async function edit (chance: Random): Promise<void> {
    const { messageId, send: { clientMessageId, senderId, content: original } } = chance.pick(sent)
    if (closed.has(messageId)) return
    const record = ledger.edited.get(messageId) ?? { messageId, clientMessageId, edits: [] }
    ledger.edited.set(messageId, record)
    const content = `${original}, edited ${record.edits.length + 1} times`
    const edit = { content, accepted: false }
    record.edits.push(edit)
    edit.accepted = await alone(messageId, 200, `an edit of ${clientMessageId}`, () =>
      untilDecided(rest, () => rest.attempt(senderId, 'PATCH', `/messages/${messageId}`, { content })))
    if (record.edits.length >= MAX_EDITS) closed.add(messageId)
  }

  async function react (chance: Random): Promise<void> {
    const { messageId, send: { conversationId } } = chance.pick(sent)
    const userId = chance.pick([...ledger.members.get(conversationId)!])
    const emoji = chance.pick(EMOJI)
    const key = `${messageId} ${userId} ${emoji}`
    if (closed.has(key)) return
    const record = ledger.reactions.get(key) ?? { messageId, conversationId, userId, emoji, changes: [] }
    ledger.reactions.set(key, record)
    const adds = record.changes.at(-1)?.type !== 'reaction_added'
    const change = {
      type: adds ? 'reaction_added' as const : 'reaction_removed' as const, accepted: false
    }
    record.changes.push(change)
    const path = `/messages/${messageId}/reactions/${encodeURIComponent(emoji)}`
    change.accepted = await alone(key, 204, `a reaction of ${userId}`, () =>
      untilDecided(rest, () => rest.attempt(userId, adds ? 'PUT' : 'DELETE', path)))
  }

  async function alone (
    key: string, accepted: number, what: string, decide: () => Promise<Decision>
  ): Promise<boolean> {
    closed.add(key)
    const { answer, clean } = await decide()
    if (clean) closed.delete(key)
    if (answer?.status !== accepted) ledger.incident(`${what} was ${describeAnswer(answer)}`)
    return answer?.status === accepted
  }
}
