/** A device that is killed: what the user wrote is there afterwards, and arrives once. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { appendFile, readFile, stat, truncate } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { openFileStore } from '../../client/store/file.ts'
import { direct, type Caller } from '../api/api.ts'
import { startEcho, type Echo } from '../model/world.ts'
import { scratchFolder } from '../support/echo-process.ts'
import { program } from '../support/programs.ts'
import { until } from '../support/until.ts'
import { startDevice, type DeviceProcessOptions } from './devices.ts'

const TEXTS = Array.from({ length: 100 }, (_, i) => `message ${i}`)
let echo: Echo

beforeAll(async () => { echo = await startEcho() })
afterAll(async () => { await echo[Symbol.asyncDispose]() })

/** A device that writes its messages while switched off; resolves when they are written. */
async function startWriter (
  user: Caller, file: string, conversationId: string, more: Pick<DeviceProcessOptions, 'texts' | 'online'>
) {
  const options: DeviceProcessOptions = {
    userId: user.id,
    token: user.token,
    api: echo.api.url,
    mqtt: `mqtt://127.0.0.1:${echo.mqttPort}`,
    file,
    conversationId,
    ...more
  }
  const child = spawn(process.execPath, [program('device'), JSON.stringify(options)], {
    stdio: ['ignore', 'pipe', 'inherit']
  })
  await once(child.stdout, 'data')
  return {
    async kill () {
      const ended = once(child, 'exit')
      child.kill('SIGKILL')
      await ended
    }
  }
}

test('100 messages written offline survive a kill and arrive once, in order', async () => {
  await using folder = await scratchFolder()
  const [ann, bob] = [await echo.api.user('ann'), await echo.api.user('bob')]
  const id = await direct(ann, bob)
  const file = join(folder.path, 'ann.jsonl')
  const writer = await startWriter(ann, file, id, { texts: TEXTS, online: false })
  await writer.kill()
  await using bobs = await startDevice(echo, bob)
  await using anns = await startDevice(echo, ann, { deviceId: 'laptop', store: await openFileStore(file) })
  await until(() => bobs.model.messages(id).length === 100 && anns.model.outbox().length === 0, 'all sent')
  expect(bobs.model.messages(id).map(message => message.content)).toEqual(TEXTS)
  expect(anns.model.messages(id).map(message => message.content)).toEqual(TEXTS)
})

test('a device that is killed again and again while its messages go out sends each once', async () => {
  await using folder = await scratchFolder()
  const [ann, bob] = [await echo.api.user('ann'), await echo.api.user('bob')]
  const id = await direct(ann, bob)
  const file = join(folder.path, 'ann.jsonl')
  await using bobs = await startDevice(echo, bob)
  for (let kills = 0; kills < 3; kills++) {
    const before = bobs.model.messages(id).length
    const texts = TEXTS.slice(kills * 30, kills * 30 + 30)
    const writer = await startWriter(ann, file, id, { texts, online: true })
    await until(() => bobs.model.messages(id).length > before, 'the first ones have come')
    await writer.kill()
  }
  await using anns = await startDevice(echo, ann, { deviceId: 'laptop', store: await openFileStore(file) })
  await until(() => anns.model.outbox().length === 0, 'nothing waits')
  await until(() => bobs.model.messages(id).length >= 90, 'all have come')
  const arrived = bobs.model.messages(id).map(message => message.content)
  expect(arrived.toSorted()).toEqual(TEXTS.slice(0, 90).toSorted())
})

test('a line that a crash has cut off never happened, and is no harm to the next one', async () => {
  await using folder = await scratchFolder()
  const path = join(folder.path, 'store.jsonl')
  const first = await openFileStore(path)
  await first.write([{ table: 'outbox', key: 'a', value: 1 }, { table: 'drafts', key: 'x', value: 'text' }])
  await first.write([{ table: 'outbox', key: 'b', value: 2 }])
  await first.close()
  const { size } = await stat(path)
  await truncate(path, size - 3)
  const second = await openFileStore(path)
  expect([...(await second.read()).outbox]).toEqual([['a', 1]])
  await second.write([{ table: 'outbox', key: 'c', value: 3 }])
  await second.close()
  await appendFile(path, '[{"table":"outbox"')
  const third = await openFileStore(path)
  const { outbox, drafts } = await third.read()
  expect([[...outbox], [...drafts]]).toEqual([[['a', 1], ['c', 3]], [['x', 'text']]])
  await third.close()
})

test('a file that is mostly out of date is written anew, and says the same', async () => {
  await using folder = await scratchFolder()
  const path = join(folder.path, 'store.jsonl')
  const store = await openFileStore(path)
  const text = 'x'.repeat(10_000)
  for (let i = 0; i < 300; i++) {
    await store.write([{ table: 'messages', key: String(i % 7), value: `${i} ${text}` }])
  }
  await store.close()
  expect((await readFile(path)).length).toBeLessThan(1_100_000)
  const again = await openFileStore(path)
  const { messages } = await again.read()
  expect([...messages.values()].map(value => Number(String(value).split(' ')[0])).toSorted((a, b) => a - b))
    .toEqual([293, 294, 295, 296, 297, 298, 299])
  await again.close()
})

test('a file is held by one client at a time', async () => {
  await using folder = await scratchFolder()
  const path = join(folder.path, 'store.jsonl')
  const store = await openFileStore(path)
  await expect(openFileStore(path)).rejects.toThrow('is held by process')
  await store.close()
  await (await openFileStore(path)).close()
})
