/** The .proto files of this folder, loaded once. Fields keep their names, as everywhere. */
import { loadPackageDefinition } from '@grpc/grpc-js'
import { loadSync, type MessageTypeDefinition } from '@grpc/proto-loader'
import { fileURLToPath } from 'node:url'
import { type ProtoGrpcType } from './generated/message.ts'

const load = (file: string) => loadSync(fileURLToPath(new URL(file, import.meta.url)), {
  keepCase: true, longs: Number, defaults: true, oneofs: true
})

/** What reflection shows. */
export const PACKAGE = load('message.proto')
export const { message: { MessageService } } = loadPackageDefinition(PACKAGE) as unknown as ProtoGrpcType

const rpc = load('google-rpc.proto')
type Message = MessageTypeDefinition<object, object>
export const RpcStatus = rpc['google.rpc.Status'] as Message
export const ErrorInfo = rpc['google.rpc.ErrorInfo'] as Message
