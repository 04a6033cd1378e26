/** What the health service of the gRPC door says, asked as any client would. */
import { credentials, loadPackageDefinition } from '@grpc/grpc-js'
import { loadSync } from '@grpc/proto-loader'
import { protoPath } from 'grpc-health-check'

export async function grpcHealth (port: number): Promise<string> {
  const { grpc } = loadPackageDefinition(loadSync(protoPath, { enums: String })) as any
  const health = new grpc.health.v1.Health(`127.0.0.1:${port}`, credentials.createInsecure())
  try {
    return await new Promise((resolve, reject) => {
      health.check({ service: '' }, (error: Error | null, answer: any) =>
        error === null ? resolve(answer.status) : reject(error))
    })
  } finally {
    health.close()
  }
}
