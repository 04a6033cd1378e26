import { expect, test } from 'vitest'
import { DatabaseAway } from '../../../core/errors.ts'
import { createSendOrder } from '../../../messaging/send/order.ts'
import { createSendQueue, type Send } from '../../../messaging/send/queue.ts'

const FROM_OTHER = '0190a0a0-0000-7000-8000-00000000000b'
const CONVERSATION = '0190a0a0-0000-7000-8000-00000000000a'
const send = (senderId: string, conversation_id: string, content: string): Send =>
  ({ senderId, draft: { conversation_id, content, message_type: 'text' } })

test('who gives up on a database that is away takes along what came behind, however short that has waited', async () => {
  const queue = createSendQueue(() => {})
  const outcomes: string[] = []
  const wait = (senderId: string, content: string): number => {
    queue.add(send(senderId, CONVERSATION, content)).catch(() => outcomes.push(`${content} failed`))
    return performance.now()
  }
  wait('ann', 'first')
  const came = wait('bob', 'of another')
  await new Promise(resolve => setImmediate(resolve))
  wait('ann', 'behind')
  const order = createSendOrder()
  order.failed(send('carol', FROM_OTHER, 'in flight'), new DatabaseAway(new Error('no answer')))
  // Between the two of ann's, and behind bob's, lies the age at which one gives up.
  queue.fail(waiting => order.giveUp(waiting, waiting.draft.content === 'first' ? came + 1_500 : came + 500))
  await new Promise(resolve => setImmediate(resolve))
  expect(outcomes).toEqual(['first failed', 'behind failed'])
  expect(queue.take().map(({ draft }) => draft.content)).toEqual(['of another'])
})
