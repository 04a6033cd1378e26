// Original file: api/grpc/message.proto

import type { Mention as _message_Mention, Mention__Output as _message_Mention__Output } from '../message/Mention.ts';
import type { Long } from '@grpc/proto-loader';

export interface Message {
  'id'?: (string);
  'conversation_id'?: (string);
  'sender_user_id'?: (string);
  'content'?: (string);
  'message_type'?: (string);
  'status'?: (string);
  'created_at'?: (number | string | Long);
  'mentions'?: (_message_Mention)[];
}

export interface Message__Output {
  'id': (string);
  'conversation_id': (string);
  'sender_user_id': (string);
  'content': (string);
  'message_type': (string);
  'status': (string);
  'created_at': (number);
  'mentions': (_message_Mention__Output)[];
}
