/**
 * The secret that signs tokens where none is configured: made once, below DATA_DIR, readable by its owner
 * only.
 */
import { randomBytes } from 'node:crypto'
import { link, mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

const SECRET_BYTES = 48

export async function developmentSecret (dataDir: string): Promise<Uint8Array> {
  const file = join(dataDir, 'jwt-secret')
  await mkdir(dataDir, { recursive: true, mode: 0o700 })
  return await readSecret(file) ?? await createSecret(file)
}

async function readSecret (file: string): Promise<Uint8Array | undefined> {
  const text = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined
    throw error
  })
  return text === undefined ? undefined : new TextEncoder().encode(text.trim())
}

// The finished file is linked into place: two processes that start at once end up with the same secret.
async function createSecret (file: string): Promise<Uint8Array> {
  const draft = `${file}.${process.pid}`
  await writeFile(draft, `${randomBytes(SECRET_BYTES).toString('base64url')}\n`, { mode: 0o600 })
  try {
    await link(draft, file)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  } finally {
    await rm(draft, { force: true })
  }
  return (await readSecret(file))!
}
