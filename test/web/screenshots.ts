/**
 * `npm run screenshots`: the pictures of README.md, made by driving the pages of an Echo of its own. Build
 * the pages first (`npm run build:web`).
 */
import { mkdir } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { type Page } from 'playwright-core'
import { AS_STARTED, scratchFolder, startEcho } from '../support/echo-process.ts'
import { sideOf, startBrowser } from './browser.ts'

const FOLDER = resolve(import.meta.dirname, '../../docs/images')
const WIDE = { width: 1_180, height: 640 }

await using folder = await scratchFolder()
await using echo = await startEcho({ dataDir: folder.path, env: { JWT_SECRET: '' }, entry: AS_STARTED })
await using browser = await startBrowser()
const url = echo.http.replace('127.0.0.1', 'localhost')
await mkdir(FOLDER, { recursive: true })

const shot = (page: Page, name: string): Promise<unknown> =>
  page.screenshot({ path: join(FOLDER, `${name}.png`), animations: 'disabled', caret: 'hide' })

await using chat = await browser.open(url, { viewport: WIDE, locale: 'en-GB' })
const [alice, bob] = [sideOf(chat.page, 'Alice'), sideOf(chat.page, 'Bob')]
await alice.look()
await alice.say('Hello @Bob, did you find the tickets?')
await bob.message('tickets').waitFor()
await bob.look()
await bob.say('In the drawer. I am on the train now')
await alice.message('on the train').getByRole('button', { name: /What to do/ }).click()
await alice.all.getByRole('button', { name: 'React with ❤️' }).click()
await bob.message('on the train').getByRole('button', { name: '❤️ 1, by Alice' }).waitFor()
await bob.connection.click()
await bob.say('No network here')
await bob.say('Can you call the hotel?')
await alice.look()
await alice.say('Which platform?')
await alice.tick('Which platform?', 'Sent').waitFor()
await shot(chat.page, 'chat')

await bob.connection.click()
await bob.tick('Can you call the hotel?', 'Delivered').waitFor()
await alice.look()
await bob.tick('Can you call the hotel?', 'Read').waitFor()
await chat.page.emulateMedia({ colorScheme: 'dark' })
await chat.page.setViewportSize({ width: 360, height: 640 })
await shot(chat.page, 'chat-phone')
await chat.page.setViewportSize(WIDE)

await using console = await browser.open(`${url}/console`, { viewport: WIDE, locale: 'en-GB' })
await console.page.getByRole('button', { name: 'Enter as a developer' }).click()
await console.page.getByRole('img', { name: /^Messages per second: stored \d/ }).waitFor()
for (let i = 0; i < 12; i++) {
  for (let j = 0; j <= i % 4; j++) await alice.say(`Message ${i}.${j}`)
  await alice.tick(`Message ${i}.${i % 4}`, 'Delivered').waitFor()
  await chat.page.waitForTimeout(1_500) // spread over the charts
}
await console.page.getByRole('img', { name: /^From stored to acknowledged: p50 \d/ }).waitFor()
await shot(console.page, 'console')
