/** Attachments in S3: the AWS client against a stand-in. */
import { sql } from 'drizzle-orm'
import { afterAll, beforeAll, beforeEach, expect, test, vi } from 'vitest'
import { attachments as rows } from '../../../migrations/schema.ts'
import { startS3Files } from '../../../store/files/s3-files.ts'
import { type FileStore } from '../../../store/files/file-store.ts'
import { S3_KEYS, startFakeS3, type FakeS3 } from '../../support/fake-s3.ts'
import { until } from '../../support/until.ts'
import { direct, send, startTestApi, type Caller, type TestApi } from '../api.ts'
import { beginDownload, beginUpload, bytesOf, download, fileHead, form, PNG, upload } from './uploads.ts'

const MB = 1024 * 1024

let s3: FakeS3
let files: FileStore
let api: TestApi
let alice: Caller
let bob: Caller

beforeAll(async () => {
  for (const [name, value] of Object.entries(S3_KEYS)) vi.stubEnv(name, value)
  s3 = await startFakeS3()
  files = startS3Files({ endpoint: s3.url, bucket: s3.name, region: 'us-east-1', pathStyle: true })
  api = await startTestApi({ wrapFiles: () => files })
})
afterAll(async () => {
  await api[Symbol.asyncDispose]()
  await files[Symbol.asyncDispose]()
  await s3[Symbol.asyncDispose]()
  vi.unstubAllEnvs()
})
beforeEach(async () => {
  s3.disturb(() => undefined)
  ;[alice, bob] = await Promise.all([api.user('alice'), api.user('bob')])
})

const rowCount = async (): Promise<number> =>
  (await api.messaging.database.autocommit.orm.select({ id: rows.id }).from(rows)).length
const kept = async (): Promise<number[]> => [await rowCount(), s3.bucket.objects.size, s3.bucket.uploads.size]

test('a small file is one object, a large one goes out in parts, and both come back whole or by range', async () => {
  for (const [content, operations] of [
    [PNG, ['PutObject']],
    [bytesOf(5 * MB), ['PutObject']],
    [bytesOf(
      12 * MB + 1
    ), ['CreateMultipartUpload', 'UploadPart', 'UploadPart', 'UploadPart', 'CompleteMultipartUpload']]
  ] as Array<[Buffer, string[]]>) {
    s3.asked.length = 0
    const { status, body } = await upload(alice, content)
    expect([status, body.size]).toEqual([201, content.length])
    expect(s3.asked).toEqual(operations)
    expect(s3.bucket.objects.get(`attachments/${body.id}`)!.equals(content)).toBe(true)
    expect((await download(api, alice, body.id)).bytes.equals(content)).toBe(true)
    const part = await download(api, alice, body.id, { range: 'bytes=10-19' })
    expect([
      part.status, part.headers.get('content-range'), part.bytes.equals(content.subarray(10, 20))
    ]).toEqual([206, `bytes 10-19/${content.length}`, true])
  }
  expect(s3.bucket.uploads.size).toBe(0)
})

test('a file goes with the message it was sent with', async () => {
  const conversation = await direct(alice, bob)
  const { body: { id } } = await upload(alice, PNG)
  const { body: message } = await send(alice, conversation, 'look', { attachment_ids: [id] })
  expect((await download(api, bob, id)).bytes.equals(PNG)).toBe(true)
  expect((await alice.delete(`/messages/${message.id}`)).status).toBeLessThan(300)
  await until(
    async () => { await api.attachments.collect(); return !s3.bucket.objects.has(`attachments/${id}`) },
    'the object went'
  )
})

test('a client that goes away leaves no object, no parts and no row, whichever request it interrupts', async () => {
  const before = await kept()
  for (const interrupted of ['CreateMultipartUpload', 'UploadPart'] as const) {
    let reached = false
    let leave = (): void => {}
    const left = new Promise<void>(resolve => { leave = resolve })
    s3.disturb(operation => {
      if (operation !== interrupted) return undefined
      reached = true
      return { wait: left }
    })
    const { request } = beginUpload(api, alice)
    request.write(form(fileHead(), bytesOf(7 * MB)))
    await until(() => reached, 'S3 was asked')
    request.on('error', () => {}).destroy()
    leave()
    await until(async () =>
      s3.asked.includes('AbortMultipartUpload') && String(await kept()) === String(before), 'nothing is left')
    s3.asked.length = 0
  }
})

test('parts that could not be given up go with the reservation of their row', async () => {
  const before = await kept()
  s3.disturb(operation => ['UploadPart', 'AbortMultipartUpload'].includes(operation)
    ? { status: 403, code: 'AccessDenied' }
    : undefined)
  expect((await upload(alice, bytesOf(6 * MB))).body).toMatchObject({ status: 503, code: 'unavailable' })
  expect(await kept()).toEqual([before[0]! + 1, before[1], before[2]! + 1])
  s3.disturb(() => undefined)
  await api.attachments.collect()
  expect(s3.bucket.uploads.size).toBe(before[2]! + 1)
  await api.messaging.database.autocommit.orm.execute(
    sql`update attachments set released_at = now() - interval '1 second' where size = 0`
  )
  await api.attachments.collect()
  expect(await kept()).toEqual(before)
})

test('what S3 refuses is a 503 that leaves nothing behind', async () => {
  const { body: { id } } = await upload(alice, PNG)
  const before = await kept()
  for (const fault of [{ status: 403, code: 'AccessDenied' }, { status: 404, code: 'NoSuchBucket' }]) {
    s3.disturb(operation => ['PutObject', 'GetObject'].includes(operation) ? fault : undefined)
    expect([(await upload(alice, PNG)).status, (await download(api, alice, id)).status]).toEqual([503, 503])
    expect(await kept()).toEqual(before)
  }
  s3.disturb(operation =>
    operation === 'CompleteMultipartUpload' ? { status: 400, code: 'InvalidPart' } : undefined)
  expect((await upload(alice, bytesOf(6 * MB))).status).toBe(503)
  expect(await kept()).toEqual(before)
})

test('an answer that is cut or 500 is asked for again', async () => {
  for (const fault of [{ drop: true as const }, { status: 500, code: 'InternalError' }]) {
    let failures = 2
    s3.disturb(() => failures-- > 0 ? fault : undefined)
    expect((await upload(alice, PNG)).status).toBe(201)
  }
})

test('an object of another length, or none, is no download', async () => {
  const { body: { id } } = await upload(alice, PNG)
  s3.bucket.objects.set(`attachments/${id}`, PNG.subarray(1))
  expect((await download(api, alice, id)).status).toBe(503)
  s3.bucket.objects.delete(`attachments/${id}`)
  expect((await download(api, alice, id)).status).toBe(503)
  expect(api.logged.join()).toContain('the file of an attachment is missing')
})

test('a client that leaves its download gives the connection to S3 back', async () => {
  const { body: { id } } = await upload(alice, bytesOf(24 * MB))
  const answer = await beginDownload(api, alice, id)
  expect(s3.sending()).toBe(1)
  answer.on('error', () => {}).destroy()
  await until(() => s3.sending() === 0, 'nothing is sent any more')
})
