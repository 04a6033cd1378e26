/** A certificate of the test's own, for localhost and 127.0.0.1 by default, and its key: files in PEM. */
import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'

export interface TestCertificate extends AsyncDisposable {
  /** Paths. */
  files: { cert: string, key: string }
  /** What a server takes; a client takes `cert` as its `ca`. */
  pem: { cert: Buffer, key: Buffer }
}

export async function createCertificate (
  names = 'DNS:localhost,IP:127.0.0.1'
): Promise<TestCertificate> {
  const folder = await mkdtemp(join(tmpdir(), 'echo-certificate-'))
  const files = { cert: join(folder, 'cert.pem'), key: join(folder, 'key.pem') }
  await promisify(execFile)('openssl', [
    'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2',
    '-subj', '/CN=Echo test', '-addext', `subjectAltName=${names}`,
    '-keyout', files.key, '-out', files.cert
  ])
  return {
    files,
    pem: { cert: await readFile(files.cert), key: await readFile(files.key) },
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true })
  }
}
