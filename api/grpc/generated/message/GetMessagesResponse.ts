// Original file: api/grpc/message.proto

import type { Message as _message_Message, Message__Output as _message_Message__Output } from '../message/Message.ts';

export interface GetMessagesResponse {
  'messages'?: (_message_Message)[];
  'has_more'?: (boolean);
}

export interface GetMessagesResponse__Output {
  'messages': (_message_Message__Output)[];
  'has_more': (boolean);
}
