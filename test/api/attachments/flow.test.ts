/**
 * Bytes flow as fast as the slower side takes them: slow stores, slow readers, slow senders, and those who
 * leave.
 */
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { readdir, readlink } from 'node:fs/promises'
import { type Socket } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { UPLOAD_PACE } from '../../../api/attachments/upload-form.ts'
import { until } from '../../support/until.ts'
import { startTestApi, type Caller, type TestApi } from '../api.ts'
import { beginDownload, beginUpload, bytesOf, fileHead, filesOf, form, FORM_END, upload } from './uploads.ts'

const MB = 1024 * 1024
/** What Linux keeps for a connection on both sides together, at most, with room to spare. */
const KERNEL_BYTES = 16 * MB

let api: TestApi
let alice: Caller
/** The server's ends of connections, newest last. */
const sockets: Socket[] = []
const remember = (message: unknown): void => { sockets.push((message as { socket: Socket }).socket) }
let beforeWrite: () => Promise<void>
const pace = { ...UPLOAD_PACE }

beforeAll(async () => {
  subscribe('net.server.socket', remember)
  api = await startTestApi({
    uploadPace: pace,
    wrapFiles: files => ({
      ...files,
      write: (id, body) => files.write(id, (async function * () {
        for await (const chunk of body) {
          await beforeWrite()
          yield chunk
        }
      })())
    })
  })
})
afterAll(async () => {
  unsubscribe('net.server.socket', remember)
  await api[Symbol.asyncDispose]()
})
beforeEach(async () => {
  beforeWrite = async () => {}
  Object.assign(pace, UPLOAD_PACE)
  alice = await api.user('alice')
})

/** Resolves when a number has stood still for a while. */
async function settled (read: () => number): Promise<number> {
  let last = read()
  let since = performance.now()
  await until(() => {
    if (read() !== last) [last, since] = [read(), performance.now()]
    return performance.now() - since > 250
  }, 'it stands still')
  return last
}

async function openFiles (): Promise<number> {
  const links = await Promise.all((await readdir('/proc/self/fd')).map(fd =>
    readlink(join('/proc/self/fd', fd)).catch(() => '')))
  return links.filter(link => link.startsWith(api.filesFolder)).length
}

test('an upload is read no faster than the store writes', async () => {
  let goOn = (): void => {}
  const slow = new Promise<void>(resolve => { goOn = resolve })
  beforeWrite = () => slow
  const { request, answer } = beginUpload(api, alice)
  request.write(form(fileHead(), bytesOf(20 * MB)))
  await until(() => (sockets.at(-1)?.bytesRead ?? 0) > 0, 'it has begun')
  expect(await settled(() => sockets.at(-1)!.bytesRead)).toBeLessThan(MB)
  goOn()
  request.end(FORM_END)
  expect(await answer).toMatchObject({ status: 201, body: { size: 20 * MB } })
})

test('a client that reads nothing of its download costs a bounded number of bytes, and may go on later', async () => {
  const content = bytesOf(25 * MB)
  const { body: { id } } = await upload(alice, content)
  const answer = await beginDownload(api, alice, id)
  const socket = sockets.at(-1)!
  const written = await settled(() => socket.bytesWritten)
  expect(written).toBeLessThan(KERNEL_BYTES)
  expect(socket.writableLength).toBeLessThan(MB)
  const chunks: Buffer[] = []
  for await (const chunk of answer) chunks.push(chunk)
  expect(Buffer.concat(chunks).equals(content)).toBe(true)
})

test('a client that leaves in the middle of its download leaves no file open', async () => {
  const { body: { id } } = await upload(alice, bytesOf(25 * MB))
  const downloads = await Promise.all([1, 2, 3].map(() => beginDownload(api, alice, id)))
  expect(await openFiles()).toBe(3)
  for (const answer of downloads) answer.on('error', () => {}).destroy()
  await until(async () => await openFiles() === 0, 'the files are closed')
})

test.for([
  ['pauses', 600_000, { stalledMs: 500, wholeMs: 600_000 }, 400],
  ['drips', 100, { stalledMs: 600_000, wholeMs: 1_500 }, 1_400]
] as const)('an upload that %s for too long is refused, and nothing of it stays', async ([
  , everyMs, limits, leastMs
]) => {
  Object.assign(pace, limits)
  const before = await filesOf(api)
  const { request, answer } = beginUpload(api, alice)
  request.on('error', () => {}).write(form(fileHead(), bytesOf(100_000)))
  const drip = setInterval(() => request.write('x'), everyMs)
  const begun = performance.now()
  expect(await answer.finally(() => clearInterval(drip))).toMatchObject({
    status: 400, body: { code: 'upload_too_slow' }
  })
  expect(performance.now() - begun).toBeGreaterThan(leastMs)
  request.destroy()
  await until(async () => String(await filesOf(api)) === String(before), 'nothing is left')
})
