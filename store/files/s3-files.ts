/**
 * Files in a bucket of anything that speaks S3, for any number of processes.
 *
 * The size of an upload is known at its end only, so it goes out in parts: one
 * waits to be full while one is on its way, which is what an upload costs in
 * memory. When the body fails, the process gives the parts up. The parts of a process
 * that died are given up when the reservation of their row has run out.
 */
import { Readable } from 'node:stream'
import {
  AbortMultipartUploadCommand, DeleteObjectCommand, GetObjectCommand, HeadBucketCommand,
  ListMultipartUploadsCommand, S3Client, S3ServiceException
} from '@aws-sdk/client-s3'
import { Upload } from '@aws-sdk/lib-storage'
import { storeError, type FileStore } from './file-store.ts'

const FOLDER = 'attachments/'
const PART_BYTES = 5 * 1024 * 1024 // the least that S3 allows
const CONNECT_TIMEOUT_MS = 3_000
/** Without a byte either way. A client that reads nothing for so long has its download ended. */
const SILENCE_TIMEOUT_MS = 60_000
/** Above what uploads and downloads are limited to, so that removals have room beside them. */
const MAX_CONNECTIONS = 600
const PROBE_TIMEOUT_MS = 3_000
/** Load balancers ask every other second; the bucket is asked less often. */
const PROBE_EVERY_MS = 5_000

export interface S3Options {
  /** Undefined: that of AWS for the region. */
  endpoint: string | undefined
  bucket: string
  region: string
  /** `host/bucket/key` rather than `bucket.host/key`. */
  pathStyle: boolean
}

export function startS3Files ({ endpoint, bucket, region, pathStyle }: S3Options): FileStore {
  const client = new S3Client({
    ...(endpoint === undefined ? {} : { endpoint }),
    region,
    forcePathStyle: pathStyle,
    // Not every server that speaks S3 knows the newer checksums; TLS and the length guard the transport.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    requestHandler: {
      connectionTimeout: CONNECT_TIMEOUT_MS,
      socketTimeout: SILENCE_TIMEOUT_MS,
      httpAgent: { maxSockets: MAX_CONNECTIONS },
      httpsAgent: { maxSockets: MAX_CONNECTIONS }
    }
  })
  const place = (id: string) => ({ Bucket: bucket, Key: FOLDER + id })
  let probed: { at: number, result: Promise<void> } | undefined

  async function askBucket (): Promise<void> {
    await client.send(
      new HeadBucketCommand({ Bucket: bucket }), { abortSignal: AbortSignal.timeout(PROBE_TIMEOUT_MS) }
    )
  }

  /** The parts of uploads whose process died before it could give them up. */
  async function abortUploads (id: string): Promise<void> {
    const { Uploads = [] } =
      await client.send(new ListMultipartUploadsCommand({ Bucket: bucket, Prefix: FOLDER + id }))
    for (const { UploadId } of Uploads) {
      await client.send(new AbortMultipartUploadCommand({ ...place(id), UploadId })).catch(ignoreMissing)
    }
  }

  return {
    async write (id, body) {
      try {
        // A body that fails makes done() fail with that error, after the parts have been given up.
        await new Upload({
          client,
          params: { ...place(id), Body: Readable.from(body, { objectMode: false }) },
          partSize: PART_BYTES,
          queueSize: 1
        }).done()
      } catch (error) {
        throw storeError(error)
      }
    },

    async read (id, { start, end }) {
      try {
        const { Body, ContentLength } =
          await client.send(new GetObjectCommand({ ...place(id), Range: `bytes=${start}-${end}` }))
        const stream = Body as Readable
        if (ContentLength === end - start + 1) return stream
        stream.destroy()
        throw new Error(`${end - start + 1} bytes were asked for, and ${ContentLength} are there`)
      } catch (error) {
        if (missing(error)) return undefined
        throw storeError(error)
      }
    },

    async remove (id) {
      try {
        await abortUploads(id)
        await client.send(new DeleteObjectCommand(place(id))).catch(ignoreMissing)
      } catch (error) {
        throw storeError(error)
      }
    },

    async probe () {
      if (probed === undefined || performance.now() - probed.at > PROBE_EVERY_MS) {
        probed = { at: performance.now(), result: askBucket() }
      }
      await probed.result.catch((error: unknown) => { throw storeError(error) })
    },

    async [Symbol.asyncDispose] () { client.destroy() }
  }
}

// A missing bucket is no missing file: it is a wrong setting, or an outage.
const missing = (error: unknown): boolean => error instanceof S3ServiceException &&
  ['NoSuchKey', 'NotFound', 'NoSuchUpload'].includes(error.name)

function ignoreMissing (error: unknown): void {
  if (!missing(error)) throw error
}
