/** A client of the gRPC door, made from its .proto as any client is. */
import {
  credentials, loadPackageDefinition, Metadata, status, type CallOptions, type ChannelCredentials,
  type ClientReadableStream, type requestCallback,
  type ServiceError
} from '@grpc/grpc-js'
import { loadSync } from '@grpc/proto-loader'
import { once } from 'node:events'
import { resolve } from 'node:path'
import { type ProtoGrpcType } from '../../api/grpc/generated/message.ts'
import { type MessageEvent__Output } from '../../api/grpc/generated/message/MessageEvent.ts'
import { type MessageServiceClient } from '../../api/grpc/generated/message/MessageService.ts'

const PROTO = resolve(import.meta.dirname, '../../api/grpc/message.proto')
const { message: { MessageService } } = loadPackageDefinition(loadSync(PROTO, {
  keepCase: true, longs: Number, defaults: true, oneofs: true
})) as unknown as ProtoGrpcType

export interface CallMore extends CallOptions { metadata?: Record<string, string> }

/** How a call ended that did not answer. */
export interface Refusal {
  status: keyof typeof status
  /** The stable code. */
  code: string | undefined
  details: string
  metadata: Metadata
}

export interface FollowedStream {
  events: MessageEvent__Output[]
  /** The end of the stream; undefined while it runs. */
  end: Refusal | undefined
  metadata: Metadata
  call: ClientReadableStream<MessageEvent__Output>
}

export interface GrpcClient extends Disposable {
  client: MessageServiceClient
  sendMessage (request: object, more?: CallMore): Promise<any>
  getMessages (request: object, more?: CallMore): Promise<any>
  /** A stream as grpc-js has it. */
  follow (request: object, more?: CallMore): ClientReadableStream<MessageEvent__Output>
  /** Resolves when the stream has begun or has ended. */
  streamMessages (request: object, more?: CallMore): Promise<FollowedStream>
}

export function grpcClient (
  port: number, token: string | undefined, trust: ChannelCredentials = credentials.createInsecure(),
  host = '127.0.0.1'
): GrpcClient {
  // A connection of its own: clients of one process would share one, and with it its number of streams.
  const client = new MessageService(`${host}:${port}`, trust, { 'grpc.use_local_subchannel_pool': 1 })
  const metadataOf = (entries: Record<string, string> = {}): Metadata => {
    const metadata = new Metadata()
    if (token !== undefined) metadata.set('authorization', `Bearer ${token}`)
    for (const [key, value] of Object.entries(entries)) metadata.set(key, value)
    return metadata
  }
  const unary = (method: 'SendMessage' | 'GetMessages') =>
    (request: object, { metadata, ...options }: CallMore = {}): Promise<any> =>
      new Promise((resolve, reject) => {
        const done: requestCallback<any> = (error, answer) => error === null ? resolve(answer) : reject(error)
        const call = client[method] as (
          request: object, metadata: Metadata, options: CallOptions, done: requestCallback<any>) => void
        call.call(client, request, metadataOf(metadata), options, done)
      })
  const follow: GrpcClient['follow'] = (request, { metadata, ...options } = {}) =>
    client.StreamMessages(request, metadataOf(metadata), options)
  return {
    client,
    follow,
    sendMessage: unary('SendMessage'),
    getMessages: unary('GetMessages'),
    async streamMessages (request, more) {
      const call = follow(request, more)
      const stream: FollowedStream = { events: [], end: undefined, metadata: new Metadata(), call }
      call.on('data', event => stream.events.push(event))
      call.on('error', error => { stream.end = refusalOf(error) })
      const ended: Refusal = { status: 'OK', code: undefined, details: '', metadata: new Metadata() }
      call.on('end', () => { stream.end ??= ended })
      const [first] = await Promise.race([once(call, 'metadata'), once(call, 'end'), once(call, 'error')])
        .catch((error: unknown) => [error])
      if (first instanceof Metadata) stream.metadata = first
      return stream
    },
    [Symbol.dispose] () { client.close() }
  }
}

/** Of a call that must fail. */
export async function refused (call: Promise<unknown>): Promise<Refusal> {
  try {
    await call
  } catch (error) {
    return refusalOf(error)
  }
  throw new Error('the call was answered')
}

export function refusalOf (error: unknown): Refusal {
  const { code, details, metadata } = error as ServiceError
  if (code === undefined) throw error
  return {
    status: status[code] as keyof typeof status,
    code: metadata.get('error-code')[0]?.toString(),
    details,
    metadata
  }
}
