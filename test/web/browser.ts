/** Debian's chromium, driven as a user would: windows of their own, and what they complain about. */
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { chromium, type Browser, type BrowserContextOptions, type Locator, type Page } from 'playwright-core'
import { Opened } from '../../lifecycle.ts'
import { startEchoAlone, type EchoProcess } from '../support/echo-process.ts'

/** Debian's package and macOS's application; a variable names any other. */
const CHROMIUM = [
  process.env.CHROMIUM_PATH ?? '', '/usr/bin/chromium', '/Applications/Chromium.app/Contents/MacOS/Chromium'
].find(path => existsSync(path))
export const noBrowser = CHROMIUM === undefined

const AXE = createRequire(import.meta.url).resolve('axe-core/axe.min.js')
const DEADLINE_MS = 60_000

export interface Window extends AsyncDisposable {
  page: Page
  /** What the page has logged as an error, and what it has thrown. */
  errors: string[]
  /** Another tab of the same browser, with the same storage. */
  tab (): Promise<Page>
}

export interface TestBrowser extends AsyncDisposable {
  /** A browser that was never here. */
  open (url: string, options?: BrowserContextOptions): Promise<Window>
}

export async function startBrowser (): Promise<TestBrowser> {
  // A container has no sandbox for root, and little shared memory.
  const browser: Browser = await chromium.launch({
    executablePath: CHROMIUM, args: ['--no-sandbox', '--disable-dev-shm-usage']
  })
  return {
    async open (url, options) {
      const context = await browser.newContext({ viewport: { width: 1_280, height: 800 }, ...options })
      context.setDefaultTimeout(DEADLINE_MS)
      const errors: string[] = []
      const tab = async (): Promise<Page> => {
        const page = await context.newPage()
        page.on('pageerror', error => errors.push(String(error)))
        page.on('console', message => { if (message.type() === 'error') errors.push(message.text()) })
        await page.goto(url)
        return page
      }
      return { page: await tab(), errors, tab, [Symbol.asyncDispose]: () => context.close() }
    },
    [Symbol.asyncDispose]: () => browser.close()
  }
}

export interface Pages extends AsyncDisposable { echo: EchoProcess, browser: TestBrowser }

/** An Echo that serves them, and a browser. */
export async function startPages (options?: Parameters<typeof startEchoAlone>[0]): Promise<Pages> {
  const opened = new Opened()
  try {
    const echo = await opened.add(startEchoAlone(options))
    const browser = await opened.add(startBrowser())
    return { echo, browser, [Symbol.asyncDispose]: () => opened[Symbol.asyncDispose]() }
  } catch (error) {
    await opened[Symbol.asyncDispose]()
    throw error
  }
}

/** One user's side of the chat page, by what it is called for those who do not see it. */
export interface Side {
  all: Locator
  field: Locator
  connection: Locator
  say (text: string): Promise<void>
  message (text: string): Locator
  /** How far this message has got, in words. */
  tick (text: string, words: 'Waiting' | 'Sent' | 'Delivered' | 'Read'): Locator
  /** Lets the page know that somebody looks at this side. */
  look (): Promise<void>
}

export function sideOf (page: Page, name: string): Side {
  const all = page.getByRole('region', { name: `${name}’s side` })
  const field = all.getByRole('textbox', { name: `${name}’s message to` })
  const message = (text: string): Locator =>
    all.getByRole('region', { name: 'Messages with' }).getByRole('listitem').filter({ hasText: text })
  return {
    all,
    field,
    connection: all.getByRole('switch'),
    async say (text) {
      await field.fill(text)
      await field.press('Enter')
    },
    message,
    tick: (text, words) => message(text).getByRole('img', { name: words, exact: true }),
    look: () => all.getByRole('heading', { level: 2 }).hover()
  }
}

export interface Finding { id: string, impact: string, nodes: string[] }

/** What axe finds that is serious or critical. */
export async function seriousFindings (page: Page): Promise<Finding[]> {
  // Evaluated by the debugger: the policy of the page lets no foreign script in.
  await page.evaluate(`${await readFile(AXE, 'utf8')}; undefined`)
  return await page.evaluate(async () => {
    const { violations } = await (globalThis as any).axe.run()
    return violations
      .filter(({ impact }: Finding) => ['serious', 'critical'].includes(impact))
      .map(({ id, impact, nodes }: { id: string, impact: string, nodes: Array<{ html: string }> }) =>
        ({ id, impact, nodes: nodes.map(({ html }) => html) }))
  })
}
