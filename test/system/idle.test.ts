/** What a process does that nobody asks for anything any more. */
import { readFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { startEchoAlone, token } from '../support/echo-process.ts'
import { restClient } from '../support/rest.ts'
import { until } from '../support/until.ts'

const WINDOW_MS = 2_000
/** A timer every 10 ms is 100; what Echo itself looks after takes some 25. */
const MAX_WAKES_PER_SECOND = 60

test('an idle process wakes seldom', async () => {
  await using echo = await startEchoAlone()
  const alice = restClient(echo.api, await token('alice'))
  expect((await alice('GET', '/users/me')).status).toBe(200)
  const wakes = async (): Promise<number> => {
    const status = await readFile(`/proc/${echo.child.pid}/status`, 'utf8')
    return Number(/^voluntary_ctxt_switches:\s+(\d+)/m.exec(status)![1])
  }
  let [since, before] = [performance.now(), await wakes()]
  await until(async () => {
    const ms = performance.now() - since
    if (ms < WINDOW_MS) return false
    const now = await wakes()
    const perSecond = (now - before) / ms * 1_000
    ;[since, before] = [performance.now(), now]
    return perSecond < MAX_WAKES_PER_SECOND
  }, 'it sleeps')
})
