/** Sending over gRPC, at any API. */
import { grpcClient, refusalOf, type GrpcClient } from '../support/grpc-client.ts'
import { token, type Node } from './cluster.ts'
import { isWrong } from './devices/grpc.ts'
import { type Ledger, type Send } from './ledger.ts'
import { type Random } from './random.ts'

const TIMEOUT_MS = 10_000

export type Attempt = (sends: Send[]) => Promise<void>

/** Attempts each once, one after the other, and notes what was answered. */
export function overGrpc (apis: Node[], ledger: Ledger, random: Random): Attempt {
  const clients = new Map<Node, GrpcClient>()
  const tokens = new Map<string, Promise<string>>()

  function clientOf (api: Node): GrpcClient {
    if (!clients.has(api)) clients.set(api, grpcClient(api.grpcPort, undefined))
    return clients.get(api)!
  }

  return async sends => {
    for (const { clientMessageId, senderId, conversationId, content } of sends) {
      if (!tokens.has(senderId)) tokens.set(senderId, token(senderId))
      const metadata = {
        authorization: `Bearer ${await tokens.get(senderId)!}`, 'idempotency-key': clientMessageId
      }
      try {
        const { message } = await clientOf(random.pick(apis)).sendMessage({
          conversation_id: conversationId, sender_user_id: senderId, content, message_type: 'text'
        }, { metadata, deadline: Date.now() + TIMEOUT_MS })
        ledger.accepted(clientMessageId, { messageId: message.id, seq: undefined })
      } catch (error) {
        const refusal = refusalOf(error)
        const { status, code, details } = refusal
        if (isWrong(refusal)) ledger.incident(`${clientMessageId} was answered ${status} ${code} ${details}`)
      }
    }
  }
}
