/**
 * A stand-in for S3, as far as Echo uses it, over HTTP and path-style: no server that speaks S3 can be had
 * here that runs on this Node. It is as strict as the strictest of them, and so knows none of the
 * newer checksums (headers or `aws-chunked` bodies); signatures are looked at, not computed.
 */
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { type AddressInfo } from 'node:net'
import { Bucket, etagOf, S3Error } from './fake-s3-bucket.ts'

export const S3_KEYS = { AWS_ACCESS_KEY_ID: 'echo-test', AWS_SECRET_ACCESS_KEY: 'not a secret' }
const BUCKET = 'echo'
const MAX_REQUEST_BYTES = 8 * 1024 * 1024

export type Operation =
  | 'HeadBucket' | 'ListMultipartUploads' | 'PutObject' | 'GetObject' | 'HeadObject' | 'DeleteObject'
  | 'CreateMultipartUpload' | 'UploadPart' | 'CompleteMultipartUpload' | 'AbortMultipartUpload'

/** What happens instead of an answer, or before it. */
export type Fault = { status: number, code: string } | { drop: true } | { wait: Promise<unknown> } | undefined

export interface FakeS3 extends AsyncDisposable {
  url: string
  name: string
  bucket: Bucket
  /** What was asked, oldest first. */
  asked: Operation[]
  /** Downloads whose connection is still open. */
  sending (): number
  /** Decides by operation and key what goes wrong. */
  disturb (script: (operation: Operation, key: string) => Fault): void
}

export async function startFakeS3 (port = 0): Promise<FakeS3> {
  const bucket = new Bucket()
  const asked: Operation[] = []
  let script: Parameters<FakeS3['disturb']>[0] = () => undefined
  let sending = 0

  async function answer (request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url!, 'http://s3')
    const [, name, ...rest] = decodeURIComponent(url.pathname).split('/')
    const key = rest.join('/')
    const operation = operationOf(request.method!, key, url.searchParams)
    asked.push(operation)
    const body = await readBody(request)
    const fault = script(operation, key)
    if (fault !== undefined) {
      if ('drop' in fault) { request.socket.destroy(); return }
      if ('code' in fault) throw new S3Error(fault.status, fault.code)
      await fault.wait
    }
    refuseWhatS3Refuses(request, body)
    if (name !== BUCKET) throw new S3Error(404, 'NoSuchBucket')
    if (operation === 'GetObject' || operation === 'HeadObject') {
      sending++
      response.once('close', () => { sending-- })
      sendObject(bucket.object(key), request, response)
    } else {
      const { status = 200, etag, xml } = perform(bucket, operation, key, url.searchParams, body)
      if (etag !== undefined) response.setHeader('etag', etag)
      response.writeHead(status, xml === undefined ? {} : { 'content-type': 'application/xml' }).end(xml)
    }
  }

  const server = createServer((request, response) => {
    answer(request, response).catch((error: unknown) => {
      if (!(error instanceof S3Error)) { request.socket.destroy(); return }
      response.writeHead(error.status, { 'content-type': 'application/xml' })
      response.end(request.method === 'HEAD'
        ? undefined
        : `<Error><Code>${error.code}</Code><Message>${error.code}</Message></Error>`)
    })
  })
  server.listen(port, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    name: BUCKET,
    bucket,
    asked,
    sending: () => sending,
    disturb (next) { script = next },
    async [Symbol.asyncDispose] () {
      server.closeAllConnections()
      await new Promise(resolve => server.close(resolve))
    }
  }
}

function operationOf (method: string, key: string, query: URLSearchParams): Operation {
  const found = ({
    HEAD: key === '' ? 'HeadBucket' : 'HeadObject',
    GET: key !== '' ? 'GetObject' : query.has('uploads') ? 'ListMultipartUploads' : undefined,
    PUT: query.has('partNumber') ? 'UploadPart' : 'PutObject',
    POST: query.has('uploads')
      ? 'CreateMultipartUpload'
      : query.has('uploadId') ? 'CompleteMultipartUpload' : undefined,
    DELETE: query.has('uploadId') ? 'AbortMultipartUpload' : 'DeleteObject'
  } as Record<string, Operation | undefined>)[method]
  if (found === undefined) throw new S3Error(501, 'NotImplemented')
  return found
}

interface Outcome { status?: number, etag?: string, xml?: string }

function perform (
  bucket: Bucket, operation: Operation, key: string, query: URLSearchParams, body: Buffer
): Outcome {
  const uploadId = query.get('uploadId') ?? ''
  switch (operation) {
    case 'PutObject':
      bucket.objects.set(key, body)
      return { etag: etagOf(body) }
    case 'DeleteObject':
      bucket.objects.delete(key)
      return { status: 204 }
    case 'CreateMultipartUpload':
      return { xml: element('InitiateMultipartUploadResult', { Key: key, UploadId: bucket.begin(key) }) }
    case 'UploadPart':
      bucket.upload(key, uploadId).parts.set(Number(query.get('partNumber')), body)
      return { etag: etagOf(body) }
    case 'CompleteMultipartUpload': {
      const parts = [...body.toString().matchAll(/<Part>(.*?)<\/Part>/gs)].map(([, part]) => ({
        number: Number(/<PartNumber>(\d+)</.exec(part!)?.[1]),
        etag: (/<ETag>(.*?)</.exec(part!)?.[1] ?? '').replaceAll('&quot;', '"')
      }))
      const etag = bucket.complete(key, uploadId, parts)
      return { xml: element('CompleteMultipartUploadResult', { Key: key, ETag: etag }) }
    }
    case 'AbortMultipartUpload':
      bucket.abort(key, uploadId)
      return { status: 204 }
    case 'ListMultipartUploads': {
      const open =
        [...bucket.uploads.values()].filter(upload => upload.key.startsWith(query.get('prefix') ?? ''))
      const uploads =
        open.map(upload => element('Upload', { Key: upload.key, UploadId: upload.uploadId })).join('')
      return { xml: element('ListMultipartUploadsResult', { IsTruncated: 'false' }, uploads) }
    }
    default:
      return {}
  }
}

function sendObject (object: Buffer, { method, headers }: IncomingMessage, response: ServerResponse): void {
  const range = /^bytes=(\d+)-(\d+)$/.exec(headers.range ?? '')
  const start = range === null ? 0 : Number(range[1])
  const end = range === null ? object.length - 1 : Math.min(Number(range[2]), object.length - 1)
  if (start > end) throw new S3Error(416, 'InvalidRange')
  const bytes = object.subarray(start, end + 1)
  response.writeHead(range === null ? 200 : 206, {
    etag: etagOf(object),
    'content-length': bytes.length,
    ...(range === null ? {} : { 'content-range': `bytes ${start}-${end}/${object.length}` })
  })
  response.end(method === 'HEAD' ? undefined : bytes)
}

function refuseWhatS3Refuses ({ method, headers }: IncomingMessage, body: Buffer): void {
  if (!(headers.authorization ?? '').startsWith(
    `AWS4-HMAC-SHA256 Credential=${S3_KEYS.AWS_ACCESS_KEY_ID}/`
  )) throw new S3Error(403, 'AccessDenied')
  const signed = String(headers['x-amz-content-sha256'])
  const newer = Object.keys(headers).some(name => /^x-amz-(checksum|sdk-checksum|trailer)/.test(name))
  if (newer || signed.startsWith('STREAMING-') || headers['content-encoding'] === 'aws-chunked') {
    throw new S3Error(501, 'NotImplemented')
  }
  if (method === 'PUT' && headers['content-length'] === undefined) {
    throw new S3Error(411, 'MissingContentLength')
  }
  if (signed !== 'UNSIGNED-PAYLOAD' && signed !== createHash('sha256').update(body).digest('hex')) {
    throw new S3Error(400, 'XAmzContentSHA256Mismatch')
  }
}

async function readBody (request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of request) {
    bytes += (chunk as Buffer).length
    if (bytes > MAX_REQUEST_BYTES) throw new S3Error(400, 'EntityTooLarge')
    chunks.push(chunk as Buffer)
  }
  return Buffer.concat(chunks)
}

/** An XML element with one element for each field, then `rest`. */
const element = (name: string, fields: Record<string, string>, rest = ''): string => {
  const inside = Object.entries(fields).map(([field, value]) => `<${field}>${value}</${field}>`)
  return `<${name}>${inside.join('')}${rest}</${name}>`
}
