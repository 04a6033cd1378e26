/**
 * Questions to all nodes over Redis: one publish asks, each node answers on the
 * channel of the one that asked. A node that has not answered in time is named.
 */
import { randomUUID } from 'node:crypto'
import { withinMs } from '../../core/deadline.ts'
import { type Answers, type Kind, type Questions, ANSWER_WITHIN_MS } from './questions.ts'

interface Waiting {
  missing: Set<string>
  answers: Array<{ node: string, answer: unknown }>
  complete: () => void
}

export interface QuestionMessage { kind: 'question', from: string, id: string, about: Kind, asks: object }
export interface AnswerMessage { kind: 'answer', from: string, id: string, answer: unknown }

export interface RedisQuestions {
  ask<K extends Kind> (
    about: K, asks: Questions[K]['asks'], own: Questions[K]['answer']
  ): Promise<Answers<Questions[K]['answer']>>
  answered (message: AnswerMessage): void
}

/** `livingNodes` and `publish` settle by themselves when Redis hangs; undefined or false then. */
export function createRedisQuestions (nodeId: string, { livingNodes, lastKnownNodes, publish }: {
  livingNodes: () => Promise<string[] | undefined>
  lastKnownNodes: () => Iterable<string>
  publish: (question: QuestionMessage) => Promise<boolean>
}): RedisQuestions {
  const open = new Map<string, Waiting>()

  async function gather (
    waiting: Waiting, id: string, about: Kind, asks: object, known: (nodes: string[] | undefined) => void
  ): Promise<void> {
    const living = await livingNodes()
    known(living)
    for (const node of living ?? []) if (node !== nodeId) waiting.missing.add(node)
    if (waiting.missing.size === 0) return
    const complete = new Promise<void>(resolve => { waiting.complete = resolve })
    open.set(id, waiting)
    if (await publish({ kind: 'question', from: nodeId, id, about, asks })) await complete
  }

  return {
    async ask (about, asks, own) {
      const id = randomUUID()
      const waiting: Waiting =
        { missing: new Set(), answers: [{ node: nodeId, answer: own }], complete: () => {} }
      let nodesKnown = false
      const asked = gather(waiting, id, about, asks, nodes => { nodesKnown = nodes !== undefined })
      await withinMs(ANSWER_WITHIN_MS, asked)
      open.delete(id)
      const silent = nodesKnown ? waiting.missing : [...lastKnownNodes()].filter(node => node !== nodeId)
      return { answers: waiting.answers as never, silent: [...silent], nodesKnown }
    },
    answered ({ from, id, answer }) {
      const waiting = open.get(id)
      if (waiting?.missing.delete(from) !== true) return
      waiting.answers.push({ node: from, answer })
      if (waiting.missing.size === 0) waiting.complete()
    }
  }
}
