/** Two devices of one user: what is written on one is there to be gone on with on the other. */
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { createMemoryStore, type Client } from '../../client/index.ts'
import { direct, group, type Caller } from '../api/api.ts'
import { startEcho, type Echo } from '../model/world.ts'
import { until } from '../support/until.ts'
import { online, startDevice } from './devices.ts'
import { startNetwork } from './network.ts'

let echo: Echo
let ann: Caller
let bob: Caller
let id: string

beforeAll(async () => {
  echo = await startEcho()
  ann = await echo.api.user('ann')
  bob = await echo.api.user('bob')
  id = await direct(ann, bob)
})
afterAll(async () => { await echo[Symbol.asyncDispose]() })

const shows = (client: Client, content: string, where = id): Promise<unknown> =>
  until(() => client.model.draft(where) === content, `${client.deviceId} shows “${content}”`)
const kept = async (caller = ann): Promise<Array<[string, string]>> =>
  (await caller.get('/drafts')).body.drafts.map((draft: any) => [draft.conversation_id, draft.content])
const server = (content: string): Promise<unknown> => {
  const expected = JSON.stringify(content === '' ? [] : [[id, content]])
  return until(async () => JSON.stringify(await kept()) === expected, `the server has “${content}”`)
}
async function off (client: Client): Promise<void> {
  client.setOnline(false)
  await until(() => client.model.connection.phase === 'off', `${client.deviceId} is off`)
}

test('a draft shows on the other device, goes on there, and is gone on both once its message is sent', async () => {
  await using phone = await startDevice(echo, ann, { deviceId: 'phone' })
  await using laptop = await startDevice(echo, ann, { deviceId: 'laptop' })
  await using bobs = await startDevice(echo, bob)
  for (const content of ['S', 'Se', 'See you at']) await phone.setDraft(id, content)
  await shows(laptop, 'See you at')
  expect(laptop.model.conversation(id)!.draft).toBe('See you at')
  await laptop.setDraft(id, 'See you at ten')
  await shows(phone, 'See you at ten')
  await laptop.setDraft(id, '')
  await laptop.send({ conversation_id: id, content: 'See you at ten' })
  await shows(phone, '')
  await server('')
  expect(bobs.model.draft(id)).toBe('')
})

test('what is written while switched off waits, and reaches the other device afterwards', async () => {
  await using phone = await startDevice(echo, ann, { deviceId: 'phone' })
  await using laptop = await startDevice(echo, ann, { deviceId: 'laptop' })
  await off(phone)
  await phone.setDraft(id, 'from the train')
  expect(phone.model.draft(id)).toBe('from the train')
  expect(await kept()).toEqual([])
  phone.setOnline(true)
  await shows(laptop, 'from the train')
  await off(phone)
  await laptop.setDraft(id, '')
  await server('')
  phone.setOnline(true)
  await shows(phone, '')
})

test('a draft that waited gives way to one that was written elsewhere after it, and replaces an older one', async () => {
  await using phone = await startDevice(echo, ann, { deviceId: 'phone' })
  await using laptop = await startDevice(echo, ann, { deviceId: 'laptop' })
  await off(phone)
  await phone.setDraft(id, 'earlier, on the phone')
  await laptop.setDraft(id, 'later, on the laptop')
  await server('later, on the laptop')
  phone.setOnline(true)
  await shows(phone, 'later, on the laptop')
  await off(phone)
  await phone.setDraft(id, 'last, on the phone')
  phone.setOnline(true)
  await shows(laptop, 'last, on the phone')
  await laptop.setDraft(id, '')
  await shows(phone, '')
})

test('a device whose clock is wrong is not kept out while it is connected', async () => {
  const hourBehind = (): number => Date.now() - 3_600_000
  await using phone = await startDevice(echo, ann, { deviceId: 'phone', now: hourBehind })
  await using laptop = await startDevice(echo, ann, { deviceId: 'laptop' })
  await laptop.setDraft(id, 'first')
  await shows(phone, 'first')
  await phone.setDraft(id, 'second')
  await shows(laptop, 'second')
  await phone.setDraft(id, '')
  await shows(laptop, '')
})

test('a draft outlives its device being closed before it went out', async () => {
  const store = { ...createMemoryStore(), close: async () => {} }
  const phone = await startDevice(echo, ann, { deviceId: 'phone', store })
  await phone.setDraft(id, 'half a sen')
  await phone.close()
  expect(await kept()).toEqual([])
  await using again = await startDevice(echo, ann, { deviceId: 'phone', store })
  expect(again.model.draft(id)).toBe('half a sen')
  await server('half a sen')
  await again.setDraft(id, '')
  await server('')
})

test('a draft arrives though its requests are cut, and so does its end', async () => {
  await using network = await startNetwork({ api: echo.api.url, mqttPort: echo.mqttPort })
  await using phone = await startDevice(echo, ann, {
    deviceId: 'phone', api: network.api, mqtt: `mqtt://127.0.0.1:${network.mqttPort}`
  })
  await using laptop = await startDevice(echo, ann, { deviceId: 'laptop' })
  const cutting = setInterval(() => network.cut(true), 50)
  await phone.setDraft(id, 'through a tunnel')
  await shows(laptop, 'through a tunnel')
  await phone.setDraft(id, '')
  await shows(laptop, '')
  clearInterval(cutting)
  await online(phone)
  await server('')
})

test('a message that is written and sent without a pause makes no request for its draft', async () => {
  await using phone = await startDevice(echo, ann, { deviceId: 'phone' })
  await using laptop = await startDevice(echo, ann, { deviceId: 'laptop' })
  // From here on the phone knows what there is.
  await laptop.setDraft(id, 'known')
  await shows(phone, 'known')
  await laptop.setDraft(id, '')
  await shows(phone, '')
  const fetched = vi.spyOn(globalThis, 'fetch')
  await phone.setDraft(id, 'ok')
  await phone.setDraft(id, '')
  await phone.send({ conversation_id: id, content: 'ok' })
  await until(() => laptop.model.messages(id).at(-1)?.content === 'ok', 'the message came')
  expect(fetched.mock.calls.map(([url]) => url).filter(url => String(url).includes('draft'))).toEqual([])
  fetched.mockRestore()
})

test('a draft whose request got no answer may have arrived, so its end is told', async () => {
  await using phone = await startDevice(echo, ann, { deviceId: 'phone' })
  const put: string[] = []
  const original = globalThis.fetch
  const fetched = vi.spyOn(globalThis, 'fetch').mockImplementation(async (url, init) => {
    if (init?.method !== 'PUT') return await original(url, init)
    const { content } = JSON.parse(init.body as string)
    put.push(content)
    if (content === '') return await original(url, init)
    await phone.setDraft(id, '')
    throw new TypeError('the connection was cut')
  })
  await phone.setDraft(id, 'arrived?')
  await until(() => put.length === 2, 'the end is told')
  expect(put).toEqual(['arrived?', ''])
  fetched.mockRestore()
})

test('a draft ends with the stay of its user, and one too long for the server stays where it was written', async () => {
  const team = await group(bob, ann)
  await using phone = await startDevice(echo, ann, { deviceId: 'phone' })
  await using laptop = await startDevice(echo, ann, { deviceId: 'laptop' })
  await phone.setDraft(team, 'for the team')
  await shows(laptop, 'for the team', team)
  await off(phone)
  await phone.setDraft(team, 'for the team, longer')
  await bob.delete(`/conversations/${team}/participants/${ann.id}`)
  await shows(laptop, '', team)
  const tooLong = 'x'.repeat(10_001)
  await laptop.setDraft(id, tooLong)
  phone.setOnline(true)
  await shows(phone, '', team)
  await laptop.setDraft(team, 'into nothing')
  await shows(laptop, '', team)
  expect([laptop.model.draft(id), phone.model.draft(id)]).toEqual([tooLong, ''])
  expect(await kept()).toEqual([])
})
