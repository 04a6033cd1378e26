/** The process and its store of files: S3 by its settings, and what `kill -9` leaves of an upload. */
import { readdir } from 'node:fs/promises'
import { request } from 'node:http'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { createDatabase, runSql } from '../support/database.ts'
import { scratchFolder, startEcho, token, type EchoProcess } from '../support/echo-process.ts'
import { S3_KEYS, startFakeS3 } from '../support/fake-s3.ts'
import { restClient } from '../support/rest.ts'
import { until } from '../support/until.ts'

const HEAD = '--x\r\nContent-Disposition: form-data; name="file"; filename="f.bin"\r\n\r\n'
const headers = async () =>
  ({ authorization: `Bearer ${await token('alice')}`, 'content-type': 'multipart/form-data; boundary=x' })

async function upload (echo: EchoProcess, content: string): Promise<{ status: number, body: any }> {
  const response = await fetch(`${echo.api}/attachments`, {
    method: 'POST', headers: await headers(), body: `${HEAD}${content}\r\n--x--\r\n`
  })
  return { status: response.status, body: await response.json() }
}

/** Sends so many bytes, and then no more. */
async function beginUpload (echo: EchoProcess, bytes: number): Promise<void> {
  const sending =
    request(`${echo.api}/attachments`, { method: 'POST', headers: await headers() }).on('error', () => {})
  sending.write(HEAD)
  sending.write(Buffer.alloc(bytes, 'x'))
}

const filesBelow = async (folder: string): Promise<string[]> =>
  (await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => []))
    .filter(entry => entry.isFile())
    .map(entry => entry.name)

test('with S3 away only attachments fail, and readiness names it', async () => {
  await using folder = await scratchFolder()
  await using database = await createDatabase()
  const s3 = await startFakeS3()
  await using echo = await startEcho({
    dataDir: folder.path,
    env: { DATABASE_URL: database.url, S3_ENDPOINT: s3.url, S3_BUCKET: s3.name, ...S3_KEYS }
  })
  const ready = () => restClient(echo.http, '')('GET', '/ready')
  const { status, body } = await upload(echo, 'hello')
  expect([status, body.size, [...s3.bucket.objects.keys()]]).toEqual([201, 5, [`attachments/${body.id}`]])
  expect((await ready()).body.dependencies.files).toEqual({ ok: true })

  await s3[Symbol.asyncDispose]()
  expect(await upload(echo, 'hello')).toMatchObject({ status: 503, body: { code: 'unavailable' } })
  const answer = await until(
    async () => { const got = await ready(); return got.body.dependencies.files.ok === false && got },
    'readiness names the store'
  )
  expect(answer.status).toBe(200)
  expect(answer.body.dependencies.files.detail).toContain('the file store')
  expect((await restClient(echo.api, await token('alice'))(
    'POST', '/conversations', { type: 'direct', participant_ids: ['bob'] }
  )).status).toBe(201)
  await using again = await startFakeS3(Number(new URL(s3.url).port))
  expect((await upload(echo, 'hello')).status).toBe(201)
  expect(again.bucket.objects.size).toBe(1)
})

test.for(
  ['a folder', 'S3'] as const
)('an upload into %s that kill -9 interrupts is found and collected', async where => {
  await using folder = await scratchFolder()
  await using s3 = await startFakeS3()
  await using database = await createDatabase()
  const options = {
    dataDir: folder.path,
    env: {
      DATABASE_URL: database.url,
      ...S3_KEYS,
      ...(where === 'S3'
        ? { S3_ENDPOINT: s3.url, S3_BUCKET: s3.name }
        : {})
    }
  }
  const left = async (): Promise<number> => (await filesBelow(join(folder.path, 'attachments'))).length +
    s3.bucket.objects.size + [...s3.bucket.uploads.values()].filter(({ parts }) => parts.size > 0).length

  const killed = await startEcho(options)
  await beginUpload(killed, 7 * 1024 * 1024)
  await until(async () => await left() === 1, 'a part is stored')
  await killed.kill()
  expect(await left()).toBe(1)

  // An hour later.
  await runSql(database.url, 'update attachments set released_at = now()')
  await using echo = await startEcho(options)
  await until(async () => await left() === 0, 'nothing is left')
  expect((await upload(echo, 'hello')).status).toBe(201)
})
