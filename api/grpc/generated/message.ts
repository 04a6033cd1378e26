import type * as grpc from '@grpc/grpc-js';
import type { MessageTypeDefinition } from '@grpc/proto-loader';

import type { GetMessagesRequest as _message_GetMessagesRequest, GetMessagesRequest__Output as _message_GetMessagesRequest__Output } from './message/GetMessagesRequest.ts';
import type { GetMessagesResponse as _message_GetMessagesResponse, GetMessagesResponse__Output as _message_GetMessagesResponse__Output } from './message/GetMessagesResponse.ts';
import type { Mention as _message_Mention, Mention__Output as _message_Mention__Output } from './message/Mention.ts';
import type { Message as _message_Message, Message__Output as _message_Message__Output } from './message/Message.ts';
import type { MessageEvent as _message_MessageEvent, MessageEvent__Output as _message_MessageEvent__Output } from './message/MessageEvent.ts';
import type { MessageServiceClient as _message_MessageServiceClient, MessageServiceDefinition as _message_MessageServiceDefinition } from './message/MessageService.ts';
import type { SendMessageRequest as _message_SendMessageRequest, SendMessageRequest__Output as _message_SendMessageRequest__Output } from './message/SendMessageRequest.ts';
import type { SendMessageResponse as _message_SendMessageResponse, SendMessageResponse__Output as _message_SendMessageResponse__Output } from './message/SendMessageResponse.ts';
import type { StreamMessagesRequest as _message_StreamMessagesRequest, StreamMessagesRequest__Output as _message_StreamMessagesRequest__Output } from './message/StreamMessagesRequest.ts';

type SubtypeConstructor<Constructor extends new (...args: any) => any, Subtype> = {
  new(...args: ConstructorParameters<Constructor>): Subtype;
};

export interface ProtoGrpcType {
  message: {
    GetMessagesRequest: MessageTypeDefinition<_message_GetMessagesRequest, _message_GetMessagesRequest__Output>
    GetMessagesResponse: MessageTypeDefinition<_message_GetMessagesResponse, _message_GetMessagesResponse__Output>
    Mention: MessageTypeDefinition<_message_Mention, _message_Mention__Output>
    Message: MessageTypeDefinition<_message_Message, _message_Message__Output>
    MessageEvent: MessageTypeDefinition<_message_MessageEvent, _message_MessageEvent__Output>
    MessageService: SubtypeConstructor<typeof grpc.Client, _message_MessageServiceClient> & { service: _message_MessageServiceDefinition }
    SendMessageRequest: MessageTypeDefinition<_message_SendMessageRequest, _message_SendMessageRequest__Output>
    SendMessageResponse: MessageTypeDefinition<_message_SendMessageResponse, _message_SendMessageResponse__Output>
    StreamMessagesRequest: MessageTypeDefinition<_message_StreamMessagesRequest, _message_StreamMessagesRequest__Output>
  }
}

