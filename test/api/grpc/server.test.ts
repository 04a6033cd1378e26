/** What every gRPC server is expected to have: health, reflection, TLS, a port that may be taken. */
import { type Client, credentials, loadPackageDefinition } from '@grpc/grpc-js'
import { loadSync } from '@grpc/proto-loader'
import { protoPath } from 'grpc-health-check'
import { once } from 'node:events'
import { createServer, type AddressInfo } from 'node:net'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { startTestApi } from '../api.ts'

const REFLECTION_FOLDER = dirname(fileURLToPath(import.meta.resolve('@grpc/reflection')))
const REFLECTION = join(REFLECTION_FOLDER, '../proto/grpc/reflection/v1/reflection.proto')

test('the health service says that it serves, and until its end that it does not', async () => {
  await using api = await startTestApi()
  const { grpc } = loadPackageDefinition(loadSync(protoPath, { enums: String })) as any
  const health = new grpc.health.v1.Health(`127.0.0.1:${api.grpcPort}`, credentials.createInsecure())
  const check = (service: string) => new Promise<string>((resolve, reject) => {
    health.check({ service }, (error: Error | null, answer: any) =>
      error === null ? resolve(answer.status) : reject(error))
  })
  expect(await check('')).toBe('SERVING')
  expect(await check('message.MessageService')).toBe('SERVING')
  await expect(check('other.Service')).rejects.toThrow('NOT_FOUND')
  const watched: string[] = []
  const watch = health.watch({ service: '' }).on('error', () => {})
  watch.on('data', (answer: any) => watched.push(answer.status))
  await once(watch, 'data')
  await api.stop()
  expect(watched).toEqual(['SERVING', 'NOT_SERVING'])
  health.close()
})

test('reflection names the services and describes them', async () => {
  await using api = await startTestApi()
  const { grpc } = loadPackageDefinition(loadSync(REFLECTION, { oneofs: true })) as any
  const client: Client & Record<string, any> =
    new grpc.reflection.v1.ServerReflection(`127.0.0.1:${api.grpcPort}`, credentials.createInsecure())
  const ask = async (request: object): Promise<any> => {
    const call = client.serverReflectionInfo()
    call.write(request)
    const [answer] = await once(call, 'data')
    call.end()
    return answer
  }
  const { listServicesResponse } = await ask({ listServices: '*' })
  expect(listServicesResponse.service).toEqual([{ name: 'message.MessageService' }])
  const { fileDescriptorResponse } = await ask({ fileContainingSymbol: 'message.MessageService' })
  expect(fileDescriptorResponse.fileDescriptorProto.join()).toContain('StreamMessages')
  client.close()
})

test('a taken port is named together with its variable, and nothing stays behind', async () => {
  const other = createServer().listen(0, '127.0.0.1')
  await once(other, 'listening')
  const { port } = other.address() as AddressInfo
  await expect(startTestApi({ grpcPort: port }))
    .rejects.toThrow(`cannot listen for gRPC on port ${port} (GRPC_PORT): it is in use`)
  other.close()
})
