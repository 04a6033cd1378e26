/** What sends ask Redis: a Redis that hangs delays the sends of one moment, and is then left alone. */
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { createSendLookups } from '../../../messaging/cluster/send-lookups.ts'

beforeEach(() => { vi.useFakeTimers() })
afterEach(() => { vi.useRealTimers() })

test('a Redis that hangs is asked once, and not again until it answers a probe', async () => {
  const probes: Array<{ answer (): void, fail (): void }> = []
  using lookups = createSendLookups(() => new Promise((resolve, reject) => {
    probes.push({ answer: () => resolve('PONG'), fail: () => reject(new Error('timeout')) })
  }))
  const asked: string[] = []
  const answers: unknown[] = []
  const ask = (send: string): void => {
    lookups.ask(async () => {
      asked.push(send)
      return await new Promise<string>(() => {})
    }).then(answer => answers.push(answer), () => {})
  }

  ask('one')
  ask('two')
  await vi.advanceTimersByTimeAsync(101)
  expect(answers).toEqual([undefined, undefined])
  for (let n = 1; n <= 20; n++) {
    ask(`later ${n}`)
    await vi.advanceTimersByTimeAsync(0)
    expect(answers).toHaveLength(2 + n)
    await vi.advanceTimersByTimeAsync(300)
    probes.at(-1)?.fail()
  }
  expect(asked).toEqual(['one', 'two'])
  expect(probes.length).toBeGreaterThan(5)

  await vi.advanceTimersByTimeAsync(500)
  probes.at(-1)!.answer()
  await vi.advanceTimersByTimeAsync(0)
  expect(await lookups.ask(async () => 'an answer')).toBe('an answer')
})
