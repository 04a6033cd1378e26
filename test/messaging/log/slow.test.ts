/** A database that is slow, or refuses one message, is not away: others go on, and order is kept. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startTestBroker, type TestBroker } from '../../support/broker.ts'
import { waitsForLock, whileHeld } from '../../support/held-rows.ts'
import { until } from '../../support/until.ts'

let broker: TestBroker
beforeAll(async () => { broker = await startTestBroker() })
afterAll(() => broker[Symbol.asyncDispose]())

const contentsOf = async (conversationId: string): Promise<string[]> =>
  (await broker.sql('select content from messages where conversation_id = $1 order by seq', conversationId))
    .map(row => row.content)

test('a row that is held fails only the sends that need it, and no acknowledgement is dropped', async () => {
  const pairs = await Promise.all(Array.from({ length: 20 }, (_, i) => broker.direct(`a${i}`, `b${i}`)))
  const held = await broker.direct('held', 'other')
  const phone = await broker.device('held', { subscribe: ['user/held/inbox'] })
  await until(() => phone.events.length === 1, 'the device has the conversation')
  const outcomes: Array<Promise<string>> = []
  await whileHeld(broker, 'held', async () => {
    // One batch: the culprit stands in the middle of it.
    for (const [i, pair] of [...pairs.slice(0, 10), held, ...pairs.slice(10)].entries()) {
      outcomes.push(broker.say(pair === held ? 'other' : `a${i > 10 ? i - 1 : i}`, pair, 'hello').then(
        () => 'sent', (error: { fault: string }) => error.fault))
    }
    expect((await Promise.all(outcomes)).map((outcome, i) => i === 10 ? 'culprit' : outcome))
      .toEqual(outcomes.map((_, i) => i === 10 ? 'culprit' : 'sent'))
    expect(await outcomes[10]).toBe('unavailable')
  })
  const acked = async (): Promise<number> =>
    (await broker.sql('select acked_seq from users where id = $1', 'held'))[0]!.acked_seq
  await until(async () => await acked() >= 1, 'what was acknowledged meanwhile is written')
  await broker.say('other', held, 'again')
  expect(await contentsOf(held)).toEqual(['again'])
})

test('what a sender sent behind a message that failed fails too, also in a batch that is halved', async () => {
  const pair = await broker.direct('ann', 'bob')
  await broker.sql(`
    create function refuse_poison () returns trigger language plpgsql as $$
      begin raise exception 'poison'; end $$`)
  await broker.sql(`
    create trigger refuse_poison before insert on messages
       for each row when (new.content = 'poison') execute function refuse_poison()`)
  const send = (from: string, content: string): Promise<string> =>
    broker.say(from, pair, content).then(() => content, () => `${content} failed`)
  const outcomes = await Promise.all([
    send('ann', 'first'), send('ann', 'poison'), send('bob', 'of another'), send('ann', 'behind'),
    send('ann', 'last')
  ])
  expect(outcomes).toEqual(['first', 'poison failed', 'of another', 'behind failed', 'last failed'])
  expect(await contentsOf(pair)).toEqual(['first', 'of another'])
})

test('pipelined commands keep their order when the first of them fails as unavailable', async () => {
  const pair = await broker.direct('carol', 'dave')
  const texts = Array.from({ length: 6 }, (_, i) => `${i}`)
  const command = (content: string): object => ({
    type: 'send_message', conversation_id: pair, content, message_type: 'text', client_message_id: content
  })
  const phone = await broker.device('carol', { deviceId: 'pipelined' })
  let ended = false
  phone.client.once('close', () => { ended = true })
  await whileHeld(broker, 'dave', async () => {
    const [first] = texts
    phone.command(command(first!)).catch(() => {})
    await until(() => waitsForLock(broker), 'its batch waits')
    for (const text of texts.slice(1)) phone.command(command(text)).catch(() => {})
    // Let go as soon as the first has failed: the others could be stored from then on.
    await until(() => broker.logged.some(line => /could not be decided/.test(line.msg)) || ended, 'it failed')
  })
  await until(() => ended, 'the connection closes')
  await using again = await broker.device('carol', { deviceId: 'pipelined' })
  await Promise.all(texts.map(text => again.command(command(text))))
  expect(await contentsOf(pair)).toEqual(texts)
})
