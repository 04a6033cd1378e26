// Original file: api/grpc/message.proto

import type { Message as _message_Message, Message__Output as _message_Message__Output } from '../message/Message.ts';

export interface SendMessageResponse {
  'message'?: (_message_Message | null);
}

export interface SendMessageResponse__Output {
  'message': (_message_Message__Output | null);
}
