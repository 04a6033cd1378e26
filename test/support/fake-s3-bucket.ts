/** What an S3 bucket keeps, and what it refuses: objects, and uploads in parts that are not finished. */
import { createHash, randomUUID } from 'node:crypto'

/** The least that a part may have, unless it is the last. */
const MIN_PART_BYTES = 5 * 1024 * 1024

export class S3Error extends Error {
  readonly status: number
  readonly code: string
  constructor (status: number, code: string) {
    super(code)
    this.status = status
    this.code = code
  }
}

export interface OpenUpload { key: string, uploadId: string, parts: Map<number, Buffer> }

export const etagOf = (bytes: Buffer): string => `"${createHash('md5').update(bytes).digest('hex')}"`

export class Bucket {
  readonly objects = new Map<string, Buffer>()
  readonly uploads = new Map<string, OpenUpload>()

  object (key: string): Buffer {
    const object = this.objects.get(key)
    if (object === undefined) throw new S3Error(404, 'NoSuchKey')
    return object
  }

  begin (key: string): string {
    const uploadId = randomUUID()
    this.uploads.set(uploadId, { key, uploadId, parts: new Map() })
    return uploadId
  }

  upload (key: string, uploadId: string): OpenUpload {
    const upload = this.uploads.get(uploadId)
    if (upload?.key !== key) throw new S3Error(404, 'NoSuchUpload')
    return upload
  }

  complete (key: string, uploadId: string, named: Array<{ number: number, etag: string }>): string {
    const { parts } = this.upload(key, uploadId)
    const bytes = named.map(({ number, etag }, i) => {
      const part = parts.get(number)
      if (part === undefined || etagOf(part) !== etag) throw new S3Error(400, 'InvalidPart')
      if (i > 0 && named[i - 1]!.number >= number) throw new S3Error(400, 'InvalidPartOrder')
      if (i < named.length - 1 && part.length < MIN_PART_BYTES) throw new S3Error(400, 'EntityTooSmall')
      return part
    })
    if (bytes.length === 0) throw new S3Error(400, 'MalformedXML')
    const object = Buffer.concat(bytes)
    this.objects.set(key, object)
    this.uploads.delete(uploadId)
    return etagOf(object)
  }

  abort (key: string, uploadId: string): void {
    this.uploads.delete(this.upload(key, uploadId).uploadId)
  }
}
