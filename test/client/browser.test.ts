/** The library in a browser: tabs, IndexedDB, MQTT over WebSocket. */
import { existsSync } from 'node:fs'
import { build } from 'esbuild'
import { chromium, type Browser, type BrowserContext, type Page } from 'playwright-core'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Client } from '../../client/index.ts'
import { direct, type Caller } from '../api/api.ts'
import { startEcho, type Echo } from '../model/world.ts'
import { until } from '../support/until.ts'
import { startDevice } from './devices.ts'

const CHROMIUM = process.env.CHROMIUM_PATH ?? '/usr/bin/chromium'
const inBrowser = test.skipIf(!existsSync(CHROMIUM))
const PAGE = `
  import { openBrowserClient } from '../../client/browser.ts'
  Object.assign(globalThis, { openBrowserClient })`
/** In the page. */
declare const client: Client

let echo: Echo
let browser: Browser
let script: string

beforeAll(async () => {
  echo = await startEcho()
  if (!existsSync(CHROMIUM)) return
  const { outputFiles } = await build({
    stdin: { contents: PAGE, resolveDir: import.meta.dirname },
    bundle: true,
    write: false,
    format: 'esm',
    platform: 'browser',
    target: 'es2022'
  })
  script = outputFiles[0]!.text
  // The page comes from the test: to the browser it is one from elsewhere, which may not reach this machine.
  const args = ['--no-sandbox', '--disable-features=LocalNetworkAccessChecks']
  browser = await chromium.launch({ executablePath: CHROMIUM, args })
})
afterAll(async () => {
  await browser?.close()
  await echo[Symbol.asyncDispose]()
})

/** A tab with a client of this user; `client` is what its page calls it. */
async function openTab (context: BrowserContext, user: Caller, online = true): Promise<Page> {
  const page = await context.newPage()
  const body = `<!doctype html><script type="module">${script}</script>`
  await page.route('**/page.html', route => route.fulfill({ contentType: 'text/html', body }))
  await page.goto(`${echo.api.url}/page.html`)
  await page.evaluate(async ({ userId, token, mqtt, online }) => {
    const page = globalThis as any
    const { origin: api } = page.location
    page.client = await page.openBrowserClient({ userId, token: () => token, api, mqtt })
    page.client.setOnline(online)
    await page.client.start()
  }, { userId: user.id, token: user.token, mqtt: `ws://127.0.0.1:${echo.wsPort}/mqtt`, online })
  return page
}

inBrowser('100 messages written offline in a tab that is killed are sent by the next one, once', async () => {
  const [ann, bob] = [await echo.api.user('ann'), await echo.api.user('bob')]
  const id = await direct(ann, bob)
  await using bobs = await startDevice(echo, bob)
  const context = await browser.newContext()
  await (await openTab(context, ann)).close()
  const tab = await openTab(context, ann, false)
  await tab.evaluate(async id => {
    for (let i = 0; i < 100; i++) await client.send({ conversation_id: id, content: `message ${i}` })
  }, id)
  const crashed = new Promise<void>(resolve => { tab.once('crash', () => resolve()) })
  const session = await context.newCDPSession(tab)
  session.send('Page.crash').catch(() => {}) // nobody is left to answer
  await crashed
  const next = await openTab(context, ann)
  await until(() => bobs.model.messages(id).length === 100, 'all have come')
  expect(bobs.model.messages(id).map(message => message.content).toSorted())
    .toEqual(Array.from({ length: 100 }, (_, i) => `message ${i}`).toSorted())
  await until(() => next.evaluate(() => client.model.outbox().length === 0), 'nothing waits')
  await context.close()
})

inBrowser('a second tab is a second device, and sends what a closed one left', async () => {
  const [ann, bob] = [await echo.api.user('ann'), await echo.api.user('bob')]
  const id = await direct(ann, bob)
  const context = await browser.newContext()
  const [one, two] = [await openTab(context, ann), await openTab(context, ann, false)]
  const deviceOf = (tab: Page): Promise<string> => tab.evaluate(() => client.deviceId)
  expect(await deviceOf(one)).not.toBe(await deviceOf(two))
  const second = await deviceOf(two)
  await two.evaluate(id => client.send({ conversation_id: id, content: 'left behind' }), id)
  await two.close()
  await using bobs = await startDevice(echo, bob)
  await until(() => bobs.model.messages(id).length === 1, 'the first tab has sent it')
  const again = await openTab(context, ann)
  expect(await deviceOf(again)).toBe(second)
  await until(() => again.evaluate(id => client.model.messages(id)[0]?.content, id), 'it has the message')
  await context.close()
})

inBrowser('a page that is loaded again shows what it had before it is connected', async () => {
  const [ann, bob] = [await echo.api.user('ann'), await echo.api.user('bob')]
  const id = await direct(ann, bob)
  await bob.post('/messages', { conversation_id: id, content: 'hello', message_type: 'text' })
  const context = await browser.newContext()
  const first = await openTab(context, ann)
  await until(() => first.evaluate(id => client.model.messages(id).length === 1, id), 'the message is there')
  await first.close()
  const second = await openTab(context, ann, false)
  const contents = await second.evaluate(id => client.model.messages(id).map(({ content }) => content), id)
  expect(contents).toEqual(['hello'])
  await context.close()
})
