/** What an inbox has brought since the last look. */
import { expect } from 'vitest'
import { type Caller, inboxEnd } from '../api.ts'

type Event = Record<string, any>

/** Each call returns the events since the one before. */
export async function follow (caller: Caller): Promise<() => Promise<Event[]>> {
  let seen = await inboxEnd(caller)
  return async () => {
    const { events, last_seq } = (await caller.get(`/inbox?after=${seen}&limit=500`)).body
    seen = last_seq
    return events.map(({ seq, epoch, ...event }: Event) => event)
  }
}

/** The answer is this problem, and no inbox has anything new. */
export async function refused (
  answer: { status: number, body: any }, status: number, code: string, ...news: Array<() => Promise<Event[]>>
): Promise<void> {
  expect([answer.status, answer.body?.code]).toEqual([status, code])
  for (const look of news) expect(await look()).toEqual([])
}
