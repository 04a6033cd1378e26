import { expect, test } from 'vitest'
import { createSendQueue, type Send } from '../../../messaging/send/queue.ts'

const send = (conversation_id: string, n: number): Send =>
  ({ senderId: 'alice', draft: { conversation_id, content: `${n}`, message_type: 'text' } })

const contents = (sends: Send[]) => sends.map(({ draft }) => `${draft.conversation_id} ${draft.content}`)

function queueOf (counts: Record<string, number>) {
  const queue = createSendQueue(() => {})
  for (const [id, count] of Object.entries(counts)) {
    for (let n = 0; n < count; n++) queue.add(send(id, n)).catch(() => {})
  }
  return queue
}

test('a busy conversation waits behind the others, and fills what they leave', () => {
  const queue = queueOf({ busy: 700, quiet: 2 })
  const batch = contents(queue.take())
  expect(batch).toHaveLength(500)
  expect(batch.slice(98, 104)).toEqual(['busy 98', 'busy 99', 'quiet 0', 'quiet 1', 'busy 100', 'busy 101'])
  expect(queue.size()).toBe(202)
  expect(contents(queue.take())[0]).toBe('busy 498')
  expect(queue.size()).toBe(0)
})

test('a conversation in flight keeps its place', () => {
  const queue = queueOf({ one: 1, two: 1, three: 1 })
  expect(contents(queue.take(id => id === 'one'))).toEqual(['two 0', 'three 0'])
  queue.add(send('two', 1)).catch(() => {})
  expect(contents(queue.take())).toEqual(['one 0', 'two 1'])
})

test('sends that are put back come first, in their order', () => {
  const queue = queueOf({ one: 3 })
  const [first, second, third] = queue.take()
  queue.add(send('one', 3)).catch(() => {})
  queue.putBack([first!, second!, third!])
  expect(contents(queue.take())).toEqual(['one 0', 'one 1', 'one 2', 'one 3'])
})
