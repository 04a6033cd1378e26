/** Asking until it is decided. */
import { type Answer, isTransient, type Rest } from './rest.ts'

const GIVE_UP_AFTER_MS = 120_000

export interface Decision {
  /** Undefined when there was none in time. */
  answer: Answer | undefined
  /** No attempt was left unanswered or refused for the time being: none can take effect later. */
  clean: boolean
}

export async function untilDecided (rest: Rest, ask: () => Promise<Answer>): Promise<Decision> {
  const deadline = performance.now() + GIVE_UP_AFTER_MS
  for (let clean = true; performance.now() < deadline; clean = false, await rest.pause()) {
    const answer = await ask()
    if (!isTransient(answer)) return { answer, clean }
  }
  return { answer: undefined, clean: false }
}

export const describeAnswer = (answer: Answer | undefined): string =>
  answer === undefined ? 'not decided in time' : `answered ${answer.status} ${JSON.stringify(answer.body)}`
