// Original file: api/grpc/message.proto

import type { Message as _message_Message, Message__Output as _message_Message__Output } from '../message/Message.ts';

export interface MessageEvent {
  'type'?: (string);
  'message'?: (_message_Message | null);
}

export interface MessageEvent__Output {
  'type': (string);
  'message': (_message_Message__Output | null);
}
