/** The console while users are busy. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { token, tokenWith, type EchoProcess } from '../support/echo-process.ts'
import { connectPhone } from '../support/phone.ts'
import { restClient } from '../support/rest.ts'
import {
  noBrowser, seriousFindings, startPages, type Pages, type TestBrowser, type Window
} from './browser.ts'

describe.skipIf(noBrowser)('with chromium', () => {
  let pages: Pages
  let echo: EchoProcess
  let browser: TestBrowser

  beforeAll(async () => {
    pages = await startPages()
    ;({ echo, browser } = pages)
  })
  afterAll(() => pages?.[Symbol.asyncDispose]())

  async function enter (scope = 'admin'): Promise<Window> {
    const window = await browser.open(`${echo.http}/console`)
    await window.page.getByLabel('Paste a token').fill(await tokenWith('root', { scope }))
    await window.page.getByRole('button', { name: 'Enter' }).click()
    return window
  }

  test('without the scope nobody comes in, and no token is offered where a secret is set', async () => {
    await using window = await enter('none')
    await window.page.getByRole('alert').filter({ hasText: 'scope `admin` is required' }).waitFor()
    expect(await window.page.getByRole('button', { name: 'developer' }).count()).toBe(0)
  })

  test('under load it shows rates, sessions with their lag, events and what an admin did', async () => {
    const alice = restClient(echo.api, await token('alice'))
    const { body: { id } } =
      await alice('POST', '/conversations', { type: 'direct', participant_ids: ['bob'] })
    // This phone takes nothing: its window fills.
    await using phone = await connectPhone({
      userId: 'bob', deviceId: 'pixel', token: await token('bob'), port: echo.mqttPort, paused: true
    })
    await using window = await enter()
    const { page } = window
    await page.getByText('PostgreSQL').waitFor()
    const load = new AbortController()
    const sending = (async () => {
      for (let i = 0; !load.signal.aborted; i++) {
        await alice('POST', '/messages', { conversation_id: id, content: `load ${i}`, message_type: 'text' })
      }
    })()
    try {
      await page.getByRole('img', { name: /^Messages per second: stored (?!0\.0|–)/ }).waitFor()

      await page.getByRole('link', { name: 'Sessions' }).click()
      const row = page.getByRole('row').filter({ hasText: 'pixel' })
      await row.getByText('64 of 64').waitFor()

      await page.getByRole('link', { name: 'Events' }).click()
      await page.getByLabel('User id').fill('bob')
      await page.getByRole('button', { name: 'Watch' }).click()
      await page.getByText('new_message').first().waitFor()

      await page.getByRole('link', { name: 'Sessions' }).click()
      await row.getByRole('button', { name: 'Disconnect pixel of bob' }).click()
      await page.getByRole('dialog').getByRole('button', { name: 'Disconnect' }).click()
      await page.getByText('1 ended: pixel of bob.').waitFor()
    } finally {
      load.abort()
      await sending
    }
    phone.acknowledgeAll()
    await page.getByRole('link', { name: 'Audit log' }).click()
    await page.getByRole('cell', { name: 'disconnect', exact: true }).waitFor()
    await page.getByRole('link', { name: 'Pushes' }).click()
    await page.getByRole('heading', { name: 'Push log' }).waitFor()
    expect(window.errors).toEqual([])
  })

  test('axe finds nothing serious, in light and in dark', async () => {
    for (const colorScheme of ['light', 'dark'] as const) {
      await using window = await enter()
      await window.page.emulateMedia({ colorScheme })
      await window.page.getByText('PostgreSQL').waitFor()
      for (const place of ['Overview', 'Sessions', 'Events', 'Pushes', 'Audit log']) {
        await window.page.getByRole('link', { name: place }).click()
        await window.page.getByRole('heading', { level: 2 }).first().waitFor()
        expect(await seriousFindings(window.page), `${place}, ${colorScheme}`).toEqual([])
      }
    }
  })
})
