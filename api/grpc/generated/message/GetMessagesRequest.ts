// Original file: api/grpc/message.proto


export interface GetMessagesRequest {
  'conversation_id'?: (string);
  'limit'?: (number);
  'before_id'?: (string);
  '_before_id'?: "before_id";
}

export interface GetMessagesRequest__Output {
  'conversation_id': (string);
  'limit': (number);
  'before_id'?: (string);
  '_before_id'?: "before_id";
}
