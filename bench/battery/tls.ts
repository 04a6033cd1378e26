/** TLS in front of a port, as a load balancer has it, with a certificate of its own. */
import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { connect, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createServer } from 'node:tls'
import { promisify } from 'node:util'

export interface Certificate { cert: Buffer, key: Buffer }

export async function createCertificate (): Promise<Certificate> {
  const folder = await mkdtemp(join(tmpdir(), 'echo-battery-'))
  const [cert, key] = [join(folder, 'cert.pem'), join(folder, 'key.pem')]
  try {
    await promisify(execFile)('openssl', [
      'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '1',
      '-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost', '-keyout', key, '-out', cert
    ])
    return { cert: await readFile(cert), key: await readFile(key) }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

export async function startTls (
  certificate: Certificate, target: number
): Promise<{ port: number } & AsyncDisposable> {
  const sockets = new Set<{ destroy (): void }>()
  const server = createServer({ ...certificate, noDelay: true }, near => {
    const far = connect({ host: '127.0.0.1', port: target, noDelay: true })
    near.pipe(far).pipe(near)
    for (const socket of [near, far]) {
      sockets.add(socket)
      socket.on('error', () => {
        near.destroy()
        far.destroy()
      })
      socket.on('close', () => sockets.delete(socket))
    }
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  return {
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose] () {
      for (const socket of sockets) socket.destroy()
      await new Promise(resolve => server.close(resolve))
    }
  }
}
