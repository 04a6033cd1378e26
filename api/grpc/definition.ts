/** The .proto files of this folder, loaded once. Fields keep their names, as everywhere. */
import { type ServiceDefinition } from '@grpc/grpc-js'
import { loadSync, type MessageTypeDefinition } from '@grpc/proto-loader'
import { fileURLToPath } from 'node:url'
import { type MessageServiceDefinition } from './generated/message/MessageService.ts'

const load = (file: string) => loadSync(fileURLToPath(new URL(file, import.meta.url)), {
  keepCase: true, longs: Number, defaults: true, oneofs: true
})

type Message = MessageTypeDefinition<object, object>

/** What reflection shows. */
export const PACKAGE = load('message.proto')
export const MESSAGE_SERVICE =
  PACKAGE['message.MessageService'] as ServiceDefinition as MessageServiceDefinition

const rpc = load('google-rpc.proto')
export const RpcStatus = rpc['google.rpc.Status'] as Message
export const ErrorInfo = rpc['google.rpc.ErrorInfo'] as Message
