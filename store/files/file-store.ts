/**
 * Where the files are, as opposed to their rows. A file is written once, under
 * an id that is never used again, and never changes.
 *
 * The row with the id is written before the file: whatever a crash leaves of a file,
 * its row is there to find it by, and no store is ever searched.
 */
import { type Readable } from 'node:stream'
import { AppError, unavailable } from '../../core/errors.ts'

/** Both ends included. */
export interface ByteRange { start: number, end: number }

export interface FileStore extends AsyncDisposable {
  /**
   * Resolves when the whole of `body` is safe. When `body` fails so does this, with the same
   * error, and nothing stays.
   */
  write (id: string, body: AsyncIterable<Uint8Array>): Promise<void>
  /** Exactly these bytes, or the stream fails. Undefined when there is no such file. */
  read (id: string, range: ByteRange): Promise<Readable | undefined>
  /** Removes the file and whatever an unfinished `write` left of it; nothing being there is fine. */
  remove (id: string): Promise<void>
  /** Throws when files cannot be written now. */
  probe (): Promise<void>
}

/** What a store throws: errors of the body as they are, everything else as `unavailable`. */
export const storeError = (error: unknown): AppError =>
  error instanceof AppError ? error : unavailable('the file store is not available', error)
