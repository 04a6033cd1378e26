/** Files that go with messages: uploaded by one, read by every participant at the end. */
import { createHash } from 'node:crypto'
import { type Ledger } from './ledger.ts'
import { type Random } from './random.ts'
import { describeAnswer, untilDecided } from './repeat.ts'
import { type Rest } from './rest.ts'

const MAX_WORDS = 50_000
const WORD_BYTES = 4
const WITHIN_READS = 50

export const digest = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex')

/** Resolves with the id of a new file, undefined when it was not accepted. */
export function uploaderFor (
  userId: string, rest: Rest, ledger: Ledger, random: Random
): () => Promise<string | undefined> {
  return async () => {
    const bytes = randomBytes(random)
    const { answer } = await untilDecided(rest, () => {
      const form = new FormData()
      form.append('file', new Blob([new Uint8Array(bytes)]), 'file.bin')
      return rest.attempt(userId, 'POST', '/attachments', form)
    })
    if (answer?.status !== 201) {
      ledger.incident(`an upload of ${userId} was ${describeAnswer(answer)}`)
      return undefined
    }
    ledger.uploads.set(answer.body.id, digest(bytes))
    return answer.body.id
  }
}

function randomBytes (random: Random): Buffer {
  const bytes = Buffer.alloc(WORD_BYTES * Math.ceil(random.between(0, MAX_WORDS)))
  for (let at = 0; at < bytes.length; at += WORD_BYTES) {
    bytes.writeUInt32LE(Math.floor(random.between(0, 2 ** 32)), at)
  }
  return bytes
}

/** The digest of what the reader gets, or what was answered instead. */
export async function download (rest: Rest, userId: string, attachmentId: string): Promise<string> {
  for (let i = 0; i < WITHIN_READS; i++, await rest.pause()) {
    const { status, body } = await rest.attempt(userId, 'GET', `/attachments/${attachmentId}`)
    if (status === 200) return digest(body)
    if (status !== 0 && status !== 429 && status !== 503) return `status ${status}`
  }
  return 'no answer'
}
