/** The methods of message.proto. What they do is decided in messaging, as for every door. */
import { randomUUID } from 'node:crypto'
import { AppError } from '../../core/errors.ts'
import { type Identity } from '../../core/identity.ts'
import { readHistory } from '../../messaging/messages/history.ts'
import { type Messaging } from '../../messaging/start.ts'
import { DEFAULT_PAGE } from '../contract/paging.ts'
import { readIdHeader } from '../requests/headers.ts'
import { type Calls } from './calls.ts'
import { type MessageServiceHandlers } from './generated/message/MessageService.ts'
import { answerOf, draftOf, messageOf, pageOf } from './messages.ts'
import { type MessageStreams } from './message-streams.ts'

export function messageService (
  { sends, database }: Messaging, calls: Calls, streams: MessageStreams
): MessageServiceHandlers {
  return {
    SendMessage: calls.unary('SendMessage', { sends: true }, async (request, caller) => {
      const { identity, requestId, headers } = caller
      requireSelf(identity, request.sender_user_id, 'sender_user_id')
      const { message } = await sends.send({
        senderId: identity.userId,
        draft: draftOf(request, readIdHeader(headers, 'idempotency-key')),
        origin: { door: 'grpc', requestId },
        deviceId: readIdHeader(headers, 'x-device-id')
      })
      return { message: messageOf(message) }
    }),

    GetMessages: calls.unary('GetMessages', {}, async (request, { identity }) => {
      const { conversation_id, limit = DEFAULT_PAGE, before_id } = pageOf(request)
      return answerOf(await readHistory(
        database.autocommit, identity.userId, conversation_id.toLowerCase(), { limit, before_id }
      ))
    }),

    StreamMessages: calls.streaming('StreamMessages', async (call, { identity, address, headers, greet }) => {
      requireSelf(identity, call.request.user_id, 'user_id')
      const deviceId = readIdHeader(headers, 'x-device-id') ?? `grpc-${randomUUID()}`
      return await streams.follow(call, { identity, deviceId, address, greet })
    })
  }
}

function requireSelf ({ userId }: Identity, claimed: string, field: string): void {
  if (claimed === userId) return
  throw new AppError('forbidden', 'other_user', `${field} is not the user of the token`)
}
