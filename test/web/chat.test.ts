/** The chat page as a newcomer uses it: the embedded default, two users side by side. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { until } from '../support/until.ts'
import { noBrowser, seriousFindings, sideOf, startPages, type Pages, type TestBrowser } from './browser.ts'

describe.skipIf(noBrowser)('with chromium', () => {
  let pages: Pages
  let browser: TestBrowser
  let page: string

  beforeAll(async () => {
    pages = await startPages({ embedded: true, env: { JWT_SECRET: '' } })
    browser = pages.browser
    page = pages.echo.http.replace('127.0.0.1', 'localhost')
  })
  afterAll(() => pages?.[Symbol.asyncDispose]())

  test('a message is sent, delivered and read, and the ticks say so', async () => {
    await using window = await browser.open(page)
    const [alice, bob] = [sideOf(window.page, 'Alice'), sideOf(window.page, 'Bob')]
    await alice.look()
    await alice.say('Hello @Bob')
    await bob.message('Hello @Bob').waitFor()
    await alice.tick('Hello @Bob', 'Delivered').waitFor()
    // Nobody has looked at bob's side yet.
    await bob.all.getByText('1 unread').first().waitFor()
    await bob.look()
    await alice.tick('Hello @Bob', 'Read').waitFor()
    await bob.all.getByText('1 unread').waitFor({ state: 'detached' })
    expect(await bob.message('Hello @Bob').locator('mark.me').textContent()).toBe('@Bob')
    expect(window.errors).toEqual([])
  })

  test('after a reload nothing is read until somebody points at it', async () => {
    await using window = await browser.open(page)
    const [alice, bob] = [sideOf(window.page, 'Alice'), sideOf(window.page, 'Bob')]
    await bob.say('Before it is loaded again')
    await bob.tick('Before it is loaded again', 'Delivered').waitFor()
    await window.page.reload()
    await alice.message('Before it is loaded again').waitFor()
    await bob.say('After it')
    await bob.tick('After it', 'Delivered').waitFor()
    await alice.all.getByText('2 unread').first().waitFor()
    await alice.look()
    await bob.tick('Before it is loaded again', 'Read').waitFor()
  })

  test('typing and presence show on the other side', async () => {
    await using window = await browser.open(page)
    const [alice, bob] = [sideOf(window.page, 'Alice'), sideOf(window.page, 'Bob')]
    for (const side of [alice, bob]) await side.all.getByText('online', { exact: true }).first().waitFor()
    await alice.field.pressSequentially('Hm')
    await bob.all.getByText('Alice is typing …').first().waitFor()
    await alice.field.fill('')
    await bob.all.getByText('Alice is typing …').first().waitFor({ state: 'detached' })
    await bob.all.getByText('online', { exact: true }).first().waitFor()
  })

  test('what is written offline waits in the outbox, and arrives once', async () => {
    await using window = await browser.open(page)
    const [alice, bob] = [sideOf(window.page, 'Alice'), sideOf(window.page, 'Bob')]
    await bob.field.waitFor()
    await bob.connection.click()
    await bob.all.getByText('offline: what is written waits').waitFor()
    await bob.say('First from the train')
    await bob.say('Second from the train')
    await bob.tick('Second from the train', 'Waiting').waitFor()
    await bob.all.getByText('Send “Second from the train”').waitFor()
    await alice.say('Where are you?')
    await alice.tick('Where are you?', 'Sent').waitFor()
    expect(await bob.message('Where are you?').count()).toBe(0)
    await bob.connection.click()
    await bob.message('Where are you?').waitFor()
    await alice.message('Second from the train').waitFor()
    await bob.all.getByText(/Caught up with \d+ events/).waitFor()
    await alice.tick('Where are you?', 'Read').waitFor()
    expect(await alice.message('First from the train').count()).toBe(1)
  })

  test('what waits in the outbox outlives a reload of the page, and arrives once', async () => {
    await using window = await browser.open(page)
    await sideOf(window.page, 'Bob').field.waitFor()
    await sideOf(window.page, 'Bob').connection.click()
    await sideOf(window.page, 'Bob').say('Before the reload')
    await sideOf(window.page, 'Bob').tick('Before the reload', 'Waiting').waitFor()
    await window.page.reload()
    const [alice, bob] = [sideOf(window.page, 'Alice'), sideOf(window.page, 'Bob')]
    await alice.message('Before the reload').waitFor()
    await bob.tick('Before the reload', 'Waiting').waitFor({ state: 'detached' })
    expect(await alice.message('Before the reload').count()).toBe(1)
    expect(await bob.message('Before the reload').count()).toBe(1)
  })

  test('a second tab is a second device and shows the same', async () => {
    await using window = await browser.open(page)
    await sideOf(window.page, 'Alice').say('On every device')
    await sideOf(window.page, 'Alice').tick('On every device', 'Delivered').waitFor()
    const second = await window.tab()
    await sideOf(second, 'Alice').tick('On every device', 'Delivered').waitFor()
    await sideOf(second, 'Bob').say('From the second tab')
    await sideOf(window.page, 'Bob').message('From the second tab').waitFor()
    // Were it the same device, the tabs would end each other's connection for good.
    for (const tab of [window.page, second]) await tab.getByText('online', { exact: true }).first().waitFor()
    await sideOf(window.page, 'Alice').say('From the first tab')
    await sideOf(second, 'Bob').message('From the first tab').waitFor()
  })

  test('what is written in one tab is there to be gone on with in another, until it is sent', async () => {
    await using window = await browser.open(page)
    const second = await window.tab()
    const [here, there] = [sideOf(window.page, 'Alice'), sideOf(second, 'Alice')]
    await there.field.waitFor()
    await here.field.pressSequentially('See you at')
    await until(async () => await there.field.inputValue() === 'See you at', 'the other tab shows it')
    await there.field.pressSequentially(' ten')
    await there.field.press('Enter')
    await here.message('See you at ten').waitFor()
    await second.reload()
    await there.message('See you at ten').waitFor()
    expect(await there.field.inputValue()).toBe('')
  })

  test('answers, reactions, edits and deletions show on both sides', async () => {
    await using window = await browser.open(page)
    const [alice, bob] = [sideOf(window.page, 'Alice'), sideOf(window.page, 'Bob')]
    await alice.say('Shall we meet?')
    await bob.message('Shall we meet?').getByRole('button', { name: /What to do/ }).click()
    await bob.all.getByRole('button', { name: 'React with 👍' }).click()
    await alice.message('Shall we meet?').getByRole('button', { name: '👍 1, by Bob' }).waitFor()
    await bob.message('Shall we meet?').getByRole('button', { name: /What to do/ }).click()
    await bob.all.getByRole('button', { name: 'Reply' }).click()
    await bob.say('On Friday')
    await alice.message('On Friday').locator('blockquote', { hasText: 'Shall we meet?' }).waitFor()
    await bob.message('On Friday').getByRole('button', { name: /What to do/ }).click()
    await bob.all.getByRole('button', { name: 'Edit' }).click()
    await bob.say('On Saturday')
    await alice.message('On Saturday').getByText('edited').waitFor()
    await bob.message('On Saturday').getByRole('button', { name: /What to do/ }).click()
    await bob.all.getByRole('button', { name: 'Delete' }).click()
    await alice.message('This message was deleted.').waitFor()
    expect(window.errors).toEqual([])
  })

  test('a picture is uploaded with its progress and shown', async () => {
    await using window = await browser.open(page)
    const [alice, bob] = [sideOf(window.page, 'Alice'), sideOf(window.page, 'Bob')]
    await alice.field.waitFor()
    await alice.all.getByLabel('Add a picture').setInputFiles({
      name: 'beach.png', mimeType: 'image/png', buffer: await window.page.screenshot()
    })
    await alice.all.getByText('ready').waitFor()
    await alice.say('The beach')
    const image = bob.message('The beach').getByRole('img', { name: 'beach.png' })
    await image.waitFor()
    await until(() => image.evaluate((element: any) => element.naturalWidth === 1_280), 'it is shown')
    expect(window.errors).toEqual([])
  })

  test('a group is begun, and a search finds what was said', async () => {
    await using window = await browser.open(page)
    const [alice, bob] = [sideOf(window.page, 'Alice'), sideOf(window.page, 'Bob')]
    await alice.all.getByRole('button', { name: 'New conversation' }).click()
    await alice.all.getByLabel('User ids').fill('bob, carol')
    await alice.all.getByLabel('Title, for a group').fill('Weekend')
    await alice.all.getByRole('button', { name: 'Begin' }).click()
    await alice.all.getByRole('heading', { name: 'Weekend' }).waitFor()
    await alice.say('Who brings the marzipan?')
    await bob.all.getByRole('button', { name: /Weekend/ }).click()
    await bob.message('Who brings the marzipan?').waitFor()
    await bob.all.getByRole('searchbox').fill('marzipan')
    await bob.all.getByRole('searchbox').press('Enter')
    await bob.all.getByText('1 found').waitFor()
  })

  test('it is used with the keyboard alone', async () => {
    await using window = await browser.open(page)
    const { keyboard } = window.page
    const alice = sideOf(window.page, 'Alice')
    await alice.field.focus()
    await keyboard.type('By keyboard')
    await keyboard.press('Enter')
    await alice.message('By keyboard').getByRole('button', { name: /What to do/ }).focus()
    await keyboard.press('Enter')
    await keyboard.press('Tab')
    await keyboard.press('Enter') // the first deed: react with a thumb
    await alice.message('By keyboard').getByRole('button', { name: '👍 1, by Alice' }).waitFor()
    await alice.connection.focus()
    await keyboard.press('Space')
    await alice.all.getByText('offline: what is written waits').waitFor()
    await keyboard.press('Space')
    await alice.all.getByText('offline: what is written waits').waitFor({ state: 'detached' })
  })

  test.for(
    [['light', 1_280], ['dark', 1_280], ['light', 360], ['dark', 360]] as const
  )('axe finds nothing serious: %s, %i pixels wide', async ([colorScheme, width]) => {
    await using window = await browser.open(page, { colorScheme, viewport: { width, height: 740 } })
    const alice = sideOf(window.page, 'Alice')
    await alice.say(`For axe: ${colorScheme} ${width}`)
    await alice.tick(`For axe: ${colorScheme} ${width}`, 'Delivered').waitFor()
    await alice.message(`For axe: ${colorScheme} ${width}`).getByRole('button', { name: /What to do/ }).click()
    expect(await seriousFindings(window.page)).toEqual([])
    // Nothing lies beside the screen.
    expect(await window.page.evaluate('document.documentElement.scrollWidth <= innerWidth')).toBe(true)
  })
})
