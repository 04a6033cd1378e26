// Original file: api/grpc/message.proto

import type { Mention as _message_Mention, Mention__Output as _message_Mention__Output } from '../message/Mention.ts';

export interface SendMessageRequest {
  'conversation_id'?: (string);
  'sender_user_id'?: (string);
  'content'?: (string);
  'message_type'?: (string);
  'mentions'?: (_message_Mention)[];
  'reply_to_id'?: (string);
  '_reply_to_id'?: "reply_to_id";
}

export interface SendMessageRequest__Output {
  'conversation_id': (string);
  'sender_user_id': (string);
  'content': (string);
  'message_type': (string);
  'mentions': (_message_Mention__Output)[];
  'reply_to_id'?: (string);
  '_reply_to_id'?: "reply_to_id";
}
