/**
 * Attachments: uploading, and reading back.
 *
 * A row is written before the first byte of a file and completed after the last one. Until
 * then it is a reservation. When it runs out, its file is collected, so the collection finds
 * whatever a crash leaves.
 */
import { type Readable } from 'node:stream'
import { type Logger } from 'pino'
import { uuidv7 } from 'uuidv7'
import {
  cleanFileName, detectContentType, MAX_ATTACHMENT_BYTES, SAMPLE_BYTES
} from '../../core/attachment-rules.ts'
import { AppError, formerMember, invalid, unavailable } from '../../core/errors.ts'
import { type AttachmentView } from '../../core/views.ts'
import {
  completeAttachment, findAttachment, removeAttachments, reserveAttachment
} from '../../store/attachments.ts'
import { type Database } from '../../store/database.ts'
import { type ByteRange, type FileStore } from '../../store/files/file-store.ts'
import { collectAttachments, startCollection } from './collection.ts'

/** Longer than any upload may take. */
const RESERVED_S = 3_600
/** How long an upload may wait to be sent. */
const UNSENT_S = 86_400

export interface AttachmentsDeps { database: Database, files: FileStore, log: Logger }

export interface Attachments extends AsyncDisposable {
  /**
   * Stores what `body` gives; `body` ends only when the upload is complete. Throws what `body` throws,
   * `invalid` when it is empty, `too_large` as soon as it is. A failed upload leaves nothing.
   */
  upload (
    ownerId: string, claimedName: string | undefined, body: AsyncIterable<Uint8Array>
  ): Promise<AttachmentView>
  /** Throws `not_found` for a reader who may not have it, `forbidden` for a former member who could. */
  find (readerId: string, id: string): Promise<AttachmentView>
  /** The bytes of an attachment that was found. */
  read (id: string, range: ByteRange): Promise<Readable>
  /** Removes what is released; returns how many files went. */
  collect (): Promise<number>
}

export function startAttachments (deps: AttachmentsDeps): Attachments {
  const { database, files, log } = deps
  const collection = startCollection(deps)

  async function store (view: AttachmentView, bytes: AsyncIterable<Uint8Array>): Promise<AttachmentView> {
    try {
      let size = 0
      await files.write(view.id, (async function * () {
        for await (const chunk of bytes) {
          size += chunk.length
          yield chunk
        }
      })())
      if (!await completeAttachment(database.autocommit, view.id, size, UNSENT_S)) {
        throw unavailable('the upload took too long')
      }
      return { ...view, size }
    } catch (error) {
      await discard(view.id)
      throw error
    }
  }

  async function discard (id: string): Promise<void> {
    try {
      await files.remove(id)
      await removeAttachments(database.autocommit, [id])
    } catch (error) {
      log.warn(
        { err: error, attachment_id: id },
        'what is left of a failed upload could not be removed and will be later'
      )
    }
  }

  return {
    async upload (ownerId, claimedName, body) {
      const limited = atMost(MAX_ATTACHMENT_BYTES, body)
      try {
        const { sample, whole, bytes } = await takeSample(limited)
        if (sample.length === 0) throw invalid('attachment_empty', 'the file has no bytes')
        const view = {
          id: uuidv7(),
          content_type: await detectContentType(sample, whole),
          file_name: cleanFileName(claimedName),
          size: 0
        }
        await reserveAttachment(database.autocommit, {
          id: view.id, ownerId, contentType: view.content_type, fileName: view.file_name
        }, RESERVED_S)
        return await store(view, bytes)
      } finally {
        limited.return(undefined).catch(() => {}) // a step that failed may have left it half read
      }
    },

    async find (readerId, id) {
      const found = await findAttachment(database.autocommit, id, readerId)
      if (found?.readable !== true) throw found?.left_since === true ? formerMember() : unknownAttachment()
      const { readable, left_since, ...view } = found
      return view
    },

    async read (id, range) {
      const stream = await files.read(id, range)
      if (stream !== undefined) return stream
      log.error(
        { attachment_id: id },
        'the file of an attachment is missing: do all api processes use the same store?'
      )
      throw unavailable('the file is not available')
    },

    collect: () => collectAttachments(deps),
    [Symbol.asyncDispose]: () => collection[Symbol.asyncDispose]()
  }
}

async function * atMost (limit: number, body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let size = 0
  for await (const chunk of body) {
    size += chunk.length
    if (size > limit) {
      throw new AppError('too_large', 'attachment_too_large', `a file may have ${limit} bytes`)
    }
    yield chunk
  }
}

/** The first bytes, and a stream that begins with them. */
async function takeSample (body: AsyncGenerator<Uint8Array>): Promise<{
  sample: Uint8Array, whole: boolean, bytes: AsyncGenerator<Uint8Array>
}> {
  const head: Uint8Array[] = []
  let length = 0
  let whole = false
  while (length < SAMPLE_BYTES && !whole) {
    const { value, done } = await body.next()
    if (done === true) whole = true
    else length += head[head.push(value) - 1]!.length
  }
  return {
    sample: Buffer.concat(head).subarray(0, SAMPLE_BYTES),
    whole: whole && length <= SAMPLE_BYTES,
    bytes: (async function * () {
      yield * head
      yield * body
    })()
  }
}

export const unknownAttachment = (): AppError =>
  new AppError('not_found', 'attachment_not_found', 'there is no such attachment')
