/** The certificate that the doors show, read once at start. */
import { createPrivateKey, X509Certificate } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { type TlsFiles } from './config.ts'

/** PEM, as `https.createServer`, `tls.createServer` and gRPC take it. */
export interface TlsCertificate { cert: Buffer, key: Buffer }

/** Throws an error of one line that names TLS_CERT or TLS_KEY: unreadable, no PEM, or not a pair. */
export async function readTls (files: TlsFiles): Promise<TlsCertificate> {
  const cert = await read('TLS_CERT', files.cert)
  const key = await read('TLS_KEY', files.key)
  const certificate = parse('TLS_CERT', 'no certificate in PEM', () => new X509Certificate(cert))
  const privateKey = parse('TLS_KEY', 'no private key in PEM', () => createPrivateKey(key))
  if (!certificate.checkPrivateKey(privateKey)) {
    throw new Error('TLS_KEY is not the key of the certificate in TLS_CERT')
  }
  return { cert, key }
}

async function read (variable: string, path: string): Promise<Buffer> {
  try {
    return await readFile(path)
  } catch (error) {
    throw new Error(`${variable} cannot be read: ${(error as Error).message}`, { cause: error })
  }
}

function parse<T> (variable: string, problem: string, parsed: () => T): T {
  try {
    return parsed()
  } catch (error) {
    throw new Error(`the file of ${variable} has ${problem}`, { cause: error })
  }
}
