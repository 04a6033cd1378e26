/** The chat page where tokens come from elsewhere: they are pasted, they expire, they are revoked. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { token, tokenWith, type EchoProcess } from '../support/echo-process.ts'
import { restClient } from '../support/rest.ts'
import { until } from '../support/until.ts'
import { noBrowser, sideOf, startPages, type Pages, type TestBrowser } from './browser.ts'

describe.skipIf(noBrowser)('with chromium', () => {
  let pages: Pages
  let echo: EchoProcess
  let browser: TestBrowser

  beforeAll(async () => {
    pages = await startPages()
    ;({ echo, browser } = pages)
  })
  afterAll(() => pages?.[Symbol.asyncDispose]())

  test('an expired token is asked for again, and what was written meanwhile is sent', async () => {
    await using window = await browser.open(echo.http)
    const { page } = window
    const expired = await tokenWith('alice', { name: 'Alice' }, Math.floor(Date.now() / 1_000) - 60)
    await page.getByLabel('Token', { exact: true }).fill(expired)
    await page.getByRole('button', { name: 'Sign in' }).first().click()
    const alice = sideOf(page, 'Alice')
    await alice.all.getByText('The token is expired or revoked.').waitFor()
    await alice.all.getByLabel('Token', { exact: true }).fill(await token('bob'))
    await alice.all.getByRole('button', { name: 'Go on' }).click()
    await alice.all.getByText('This is no token of alice.').waitFor()
    await alice.all.getByLabel('Token', { exact: true }).fill(await token('alice'))
    await alice.all.getByRole('button', { name: 'Go on' }).click()
    await alice.all.getByText('online', { exact: true }).waitFor()
  })

  test('a revoked session goes on with another token, and its outbox with it', async () => {
    await using window = await browser.open(echo.http)
    const { page } = window
    await page.getByLabel('Token', { exact: true }).fill(await tokenWith('carol', { name: 'Carol' }))
    await page.getByRole('button', { name: 'Sign in' }).first().click()
    const carol = sideOf(page, 'Carol')
    await carol.all.getByText('online', { exact: true }).waitFor()
    await carol.all.getByRole('button', { name: 'New conversation' }).click()
    await carol.all.getByLabel('User ids').fill('dave')
    await carol.all.getByRole('button', { name: 'Begin' }).click()
    await carol.field.waitFor()
    const root = restClient(echo.api, await tokenWith('root', { scope: 'admin' }))
    expect((await root('POST', '/admin/users/carol/revoke')).status).toBe(204)
    await carol.all.getByText('The token is expired or revoked.').waitFor()
    await carol.say('Written while locked out')
    await carol.tick('Written while locked out', 'Waiting').waitFor()
    // Only a token of a later second counts.
    const revokedAt = Math.floor(Date.now() / 1_000)
    await until(() => Date.now() >= (revokedAt + 1) * 1_000, 'the next second')
    await carol.all.getByLabel('Token', { exact: true }).fill(await token('carol'))
    await carol.all.getByRole('button', { name: 'Go on' }).click()
    await carol.tick('Written while locked out', 'Sent').waitFor()
  })
})
