/** What stops the start when certificate and key cannot be used. */
import { expect, test } from 'vitest'
import { readTls } from '../tls.ts'
import { createCertificate } from './support/certificate.ts'

test('a certificate and its key are read', async () => {
  await using certificate = await createCertificate()
  expect(await readTls(certificate.files)).toEqual(certificate.pem)
})

test('the variable of a file that cannot be used is named', async () => {
  await using mine = await createCertificate()
  await using other = await createCertificate()
  const { cert, key } = mine.files
  await expect(readTls({ cert: '/nowhere/cert.pem', key })).rejects.toThrow(/^TLS_CERT cannot be read: ENOENT/)
  await expect(readTls({ cert, key: '/nowhere/key.pem' })).rejects.toThrow(/^TLS_KEY cannot be read: ENOENT/)
  await expect(readTls({ cert: key, key })).rejects.toThrow('the file of TLS_CERT has no certificate in PEM')
  await expect(readTls({ cert, key: cert })).rejects.toThrow('the file of TLS_KEY has no private key in PEM')
  await expect(readTls({ cert, key: other.files.key })).rejects.toThrow(
    'TLS_KEY is not the key of the certificate in TLS_CERT'
  )
})
