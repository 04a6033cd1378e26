/** Files as clients send and fetch them. */
import { randomBytes } from 'node:crypto'
import { readdir } from 'node:fs/promises'
import { request, type ClientRequest, type IncomingMessage } from 'node:http'
import { type Answer, type Caller, type TestApi } from '../api.ts'

export const PNG = Buffer.from(
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==', 'base64'
)

/** Bytes that differ from place to place. */
export const bytesOf = (length: number): Buffer => randomBytes(length)

const BOUNDARY = 'a-boundary'
export const FORM_TYPE = `multipart/form-data; boundary=${BOUNDARY}`
export const FORM_END = `\r\n--${BOUNDARY}--\r\n`
export const fileHead = (name = 'file.bin', type = 'application/octet-stream'): string =>
  `--${BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="${name}"\r\nContent-Type: ${type}\r\n\r\n`
export const fieldHead = `--${BOUNDARY}\r\nContent-Disposition: form-data; name="note"\r\n\r\n`

export const form = (...parts: Array<string | Buffer>): Buffer =>
  Buffer.concat(parts.map(part => Buffer.from(part as string)))

export const uploadForm = (caller: Caller, body: Buffer, type = FORM_TYPE): Promise<Answer> =>
  caller.request('POST', '/attachments', undefined, { raw: body, headers: { 'content-type': type } })

export const upload = (
  caller: Caller, content: Buffer | string, name?: string, type?: string
): Promise<Answer> =>
  uploadForm(caller, form(fileHead(name, type), content as string, FORM_END))

/** An upload in the middle of which something happens. */
export function beginUpload (
  api: TestApi, caller: Caller, headers: Record<string, string> = {}
): { request: ClientRequest, answer: Promise<{ status: number, body: any }> } {
  const sending = request(`${api.url}/api/v1/attachments`, {
    method: 'POST',
    headers: { authorization: `Bearer ${caller.token}`, 'content-type': FORM_TYPE, ...headers }
  })
  const answer = new Promise<{ status: number, body: any }>((resolve, reject) => {
    sending.on('error', reject)
    sending.on('response', response => {
      let text = ''
      response.setEncoding('utf8').on('data', chunk => { text += chunk }).on(
        'end', () => resolve({ status: response.statusCode!, body: JSON.parse(text) })
      ).on('error', reject)
    })
  })
  answer.catch(() => {}) // not every caller waits for it
  sending.flushHeaders()
  return { request: sending, answer }
}

/** A download of which nothing is read yet. */
export function beginDownload (api: TestApi, caller: Caller, id: string): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    request(`${api.url}/api/v1/attachments/${id}`, { headers: { authorization: `Bearer ${caller.token}` } })
      .on('response', resolve)
      .on('error', reject)
      .end()
  })
}

export interface Download { status: number, headers: Headers, bytes: Buffer }

export async function download (
  api: TestApi, caller: Caller, id: string, headers: Record<string, string> = {}, method = 'GET'
): Promise<Download> {
  const response = await fetch(`${api.url}/api/v1/attachments/${id}`, {
    method, headers: { authorization: `Bearer ${caller.token}`, ...headers }
  })
  return {
    status: response.status, headers: response.headers, bytes: Buffer.from(await response.arrayBuffer())
  }
}

/** Everything in the folder of the store, finished or not. */
export async function filesOf ({ filesFolder }: TestApi): Promise<string[]> {
  const entries = await readdir(filesFolder, { recursive: true, withFileTypes: true })
  return entries.filter(entry => entry.isFile()).map(entry => entry.name)
}
