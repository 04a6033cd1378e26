/**
 * gRPC: a stream has no place to go on from. A client that comes back opens it first and then reads what came
 * meanwhile, page by page, back to the last message that it has.
 */
import { grpcClient, type GrpcClient } from '../../support/grpc-client.ts'
import { type Client, type Door, type ToldEvent, type Who } from './door.ts'

const PAGE = 50

export const GRPC: Door = {
  name: 'gRPC',
  tracked: false,
  portOf: ({ grpcPort }) => grpcPort,
  says: {
    expired: 'ABORTED its token has expired',
    revoked: 'ABORTED its token was revoked',
    refused: 'UNAUTHENTICATED',
    notYours: 'PERMISSION_DENIED other_user'
  },
  renews: false,
  missesTheSilent: true,
  connect,
  async reach (port, { token }, otherId) {
    using client = grpcClient(port, token)
    const { end } = await client.streamMessages({ user_id: otherId })
    return `${end?.status} ${end?.code}`
  }
}

async function connect (port: number, { userId, token, deviceId, after }: Who): Promise<Client> {
  const client = grpcClient(port, token)
  const metadata = deviceId === undefined ? undefined : { 'x-device-id': deviceId }
  const stream = await client.streamMessages({ user_id: userId }, { metadata })
  if (stream.end !== undefined) {
    client[Symbol.dispose]()
    throw new Error(stream.end.status)
  }
  const missed = after === undefined ? [] : await readMissed(client, userId, after)
  const known = new Set(missed.map(({ message }) => message!.id))
  return {
    get events () {
      const told = stream.events as ToldEvent[]
      return [...missed, ...told.filter(({ message }) => !known.has(message!.id))]
    },
    get ended () {
      return stream.end === undefined ? undefined : `${stream.end.status} ${stream.end.details}`
    },
    async [Symbol.asyncDispose] () {
      stream.call.cancel()
      client[Symbol.dispose]()
    }
  }
}

/** What others have sent to the conversations that the client knows, oldest first. */
async function readMissed (client: GrpcClient, userId: string, after: Client): Promise<ToldEvent[]> {
  const known = new Set(after.events.map(({ message }) => message!.id))
  const missed: ToldEvent[] = []
  for (const conversation_id of new Set(after.events.map(({ message }) => message!.conversation_id))) {
    const found: ToldEvent[] = []
    for (let more = true, before_id: string | undefined; more;) {
      const { messages, has_more } = await client.getMessages({ conversation_id, limit: PAGE, before_id })
      for (const message of messages) {
        if (known.has(message.id)) break
        if (message.sender_user_id !== userId) found.unshift({ type: 'new_message', message })
      }
      before_id = messages.at(-1)?.id
      more = has_more && !known.has(before_id!)
    }
    missed.push(...found)
  }
  return missed
}
