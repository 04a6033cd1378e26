/** The chat page while its server is killed and comes back. */
import { describe, expect, test } from 'vitest'
import { scratchFolder, startEcho } from '../support/echo-process.ts'
import { noBrowser, sideOf, startBrowser } from './browser.ts'

describe.skipIf(noBrowser)('with chromium', () => {
  test('a server that is killed and comes back gets what was written meanwhile', async () => {
    await using folder = await scratchFolder()
    const env = { JWT_SECRET: '' }
    await using browser = await startBrowser()
    const first = await startEcho({ dataDir: folder.path, env })
    await using window = await browser.open(first.http.replace('127.0.0.1', 'localhost'))
    const [alice, bob] = [sideOf(window.page, 'Alice'), sideOf(window.page, 'Bob')]
    await alice.say('Before the crash')
    await alice.tick('Before the crash', 'Delivered').waitFor()

    await first.kill()
    await alice.all.getByText('no connection, tries again').waitFor()
    await alice.say('While it was away')
    await alice.tick('While it was away', 'Waiting').waitFor()
    await using second = await startEcho({
      dataDir: folder.path,
      env: { ...env, HTTP_PORT: new URL(first.http).port, WS_PORT: String(first.wsPort) }
    })
    expect(second.http).toBe(first.http)
    await bob.message('While it was away').waitFor({ timeout: 60_000 })
    await alice.tick('While it was away', 'Delivered').waitFor()
    await bob.message('Before the crash').waitFor()
  })
})
