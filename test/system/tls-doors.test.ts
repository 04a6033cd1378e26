/** With TLS_CERT and TLS_KEY, HTTP and gRPC speak TLS and nothing else. */
import { credentials } from '@grpc/grpc-js'
import { get } from 'node:https'
import { expect, test } from 'vitest'
import { createCertificate } from '../support/certificate.ts'
import { startEchoAlone, token } from '../support/echo-process.ts'
import { grpcClient, refused } from '../support/grpc-client.ts'

test('HTTP and gRPC speak TLS', async () => {
  await using certificate = await createCertificate()
  const { files: { cert: TLS_CERT, key: TLS_KEY }, pem: { cert: ca } } = certificate
  await using echo = await startEchoAlone({ env: { TLS_CERT, TLS_KEY } })

  const { port } = new URL(echo.http)
  const status = await new Promise((resolve, reject) => {
    get({ host: '127.0.0.1', port, path: '/ready', ca }, answer => {
      answer.resume()
      resolve(answer.statusCode)
    }).on('error', reject)
  })
  expect(status).toBe(200)
  await expect(fetch(`http://127.0.0.1:${port}/ready`)).rejects.toThrow()

  using client = grpcClient(echo.grpcPort, await token('ann'), credentials.createSsl(ca))
  expect((await client.streamMessages({ user_id: 'ann' })).end).toBe(undefined)
  using plain = grpcClient(echo.grpcPort, await token('ann'))
  const asked = plain.getMessages({}, { deadline: Date.now() + 3_000 })
  expect(['UNAVAILABLE', 'DEADLINE_EXCEEDED']).toContain((await refused(asked)).status)
})
