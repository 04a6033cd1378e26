// Original file: api/grpc/message.proto


export interface Mention {
  'user_id'?: (string);
  'offset'?: (number);
  'length'?: (number);
}

export interface Mention__Output {
  'user_id': (string);
  'offset': (number);
  'length': (number);
}
