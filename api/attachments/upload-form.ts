/**
 * A multipart form (RFC 7578) with one file and nothing else, read as a stream.
 *
 * The body ends only when the whole form has: a second part, a truncated form
 * and a client that goes away fail it, so half an upload is never stored.
 */
import { type Multipart } from '@fastify/multipart'
import { type FastifyRequest } from 'fastify'
import { type IncomingMessage } from 'node:http'
import { MAX_ATTACHMENT_BYTES } from '../../core/attachment-rules.ts'
import { findAppError, invalid, type AppError } from '../../core/errors.ts'

/** How long an upload may pause, and take. */
export interface UploadPace { stalledMs: number, wholeMs: number }
export const UPLOAD_PACE: UploadPace = { stalledMs: 30_000, wholeMs: 600_000 }
/**
 * A client may still send for so long after its upload was refused: it reads the answer only when it has
 * sent.
 */
const DISCARD_MS = 10_000

export interface UploadForm {
  fileName: string | undefined
  body: AsyncIterable<Uint8Array>
}

export const FORM_LIMITS = {
  parts: 2,
  fileSize: MAX_ATTACHMENT_BYTES + 1,
  headerPairs: 32,
  headerSize: 8 * 1024,
  fieldNameSize: 256,
  fieldSize: 1024
}

/**
 * Runs `use` with the form of the request and returns its result. The signal `abort` ends it with the
 * signal's reason, a client that stalls with `invalid`. Throws `invalid` for any other form, and what `use`
 * throws.
 */
export async function readUploadForm<T> (
  request: FastifyRequest<any, any, any, any, any, any, any, any>, abort: AbortSignal, pace: UploadPace,
  use: (form: UploadForm) => Promise<T>
): Promise<T> {
  if (!request.isMultipart()) throw fileRequired()
  const watch = watchProgress(abort, pace)
  const parts = request.parts({ limits: FORM_LIMITS })
  const next = async (): Promise<Multipart | undefined> => {
    const { value, done } = await Promise.race([parts.next(), watch.failed])
    return done === true ? undefined : value
  }
  try {
    const part = await next()
    if (part === undefined) throw fileRequired()
    if (part.type !== 'file') throw oneFile()
    const { file } = part
    watch.failed.catch((error: Error) => file.destroy(error))
    return await use({
      fileName: part.filename,
      body: (async function * () {
        try {
          for await (const chunk of file) {
            watch.progress()
            yield chunk
          }
          const another = await next()
          if (another?.type === 'file') another.file.destroy()
          if (another !== undefined) throw oneFile()
        } catch (error) {
          throw formError(error)
        }
      })()
    })
  } catch (error) {
    watch.fail(error)
    discardRest(request.raw)
    throw formError(error)
  } finally {
    watch.stop()
  }
}

function watchProgress (abort: AbortSignal, { stalledMs, wholeMs }: UploadPace) {
  let fail: (error: unknown) => void = () => {}
  const failed = new Promise<never>((_resolve, reject) => { fail = reject })
  failed.catch(() => {}) // it may fail while nothing waits for it
  const tooSlow = (): void => fail(invalid(
    'upload_too_slow',
    `an upload takes at most ${wholeMs / 1_000} s, and never pauses for ${stalledMs / 1_000} s`
  ))
  const aborted = (): void => fail(abort.reason)
  const stalled = setTimeout(tooSlow, stalledMs)
  const whole = setTimeout(tooSlow, wholeMs)
  if (abort.aborted) aborted()
  else abort.addEventListener('abort', aborted, { once: true })
  return {
    failed,
    fail,
    progress: () => { stalled.refresh() },
    stop () {
      clearTimeout(stalled)
      clearTimeout(whole)
      abort.removeEventListener('abort', aborted)
    }
  }
}

function discardRest (raw: IncomingMessage): void {
  if (raw.complete || raw.destroyed) return
  const timer = setTimeout(() => raw.destroy(), DISCARD_MS)
  raw.once('end', () => clearTimeout(timer)).once('close', () => clearTimeout(timer))
  raw.on('error', () => {}).resume()
}

/** The parser's errors as problems; all other errors as they are. */
function formError (error: unknown): unknown {
  if (findAppError(error) !== undefined) return error
  const { code, message = '' } = error as { code?: string, message?: string }
  if (code === 'FST_PARTS_LIMIT' || code === 'FST_FILES_LIMIT' || code === 'FST_FIELDS_LIMIT') {
    return oneFile()
  }
  const malformed = /^FST_MP_PREMATURE_CLOSE$|^FST_PROTO_VIOLATION|^FST_INVALID/.test(code ?? '') ||
    /multipart|terminated early|boundary/i.test(message)
  return malformed ? malformedForm() : error
}

const fileRequired = (): AppError =>
  invalid('file_required', 'the form must have a file: a part with a filename')
const oneFile = (): AppError =>
  invalid('one_file_required', 'the form must have exactly one file and nothing else')
const malformedForm = (): AppError => invalid('malformed_form', 'the body is not a whole multipart form')
