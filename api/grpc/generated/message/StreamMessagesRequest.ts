// Original file: api/grpc/message.proto


export interface StreamMessagesRequest {
  'user_id'?: (string);
}

export interface StreamMessagesRequest__Output {
  'user_id': (string);
}
