// Original file: api/grpc/message.proto

import type * as grpc from '@grpc/grpc-js'
import type { MethodDefinition } from '@grpc/proto-loader'
import type { GetMessagesRequest as _message_GetMessagesRequest, GetMessagesRequest__Output as _message_GetMessagesRequest__Output } from '../message/GetMessagesRequest.ts';
import type { GetMessagesResponse as _message_GetMessagesResponse, GetMessagesResponse__Output as _message_GetMessagesResponse__Output } from '../message/GetMessagesResponse.ts';
import type { MessageEvent as _message_MessageEvent, MessageEvent__Output as _message_MessageEvent__Output } from '../message/MessageEvent.ts';
import type { SendMessageRequest as _message_SendMessageRequest, SendMessageRequest__Output as _message_SendMessageRequest__Output } from '../message/SendMessageRequest.ts';
import type { SendMessageResponse as _message_SendMessageResponse, SendMessageResponse__Output as _message_SendMessageResponse__Output } from '../message/SendMessageResponse.ts';
import type { StreamMessagesRequest as _message_StreamMessagesRequest, StreamMessagesRequest__Output as _message_StreamMessagesRequest__Output } from '../message/StreamMessagesRequest.ts';

export interface MessageServiceClient extends grpc.Client {
  GetMessages(argument: _message_GetMessagesRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_message_GetMessagesResponse__Output>): grpc.ClientUnaryCall;
  GetMessages(argument: _message_GetMessagesRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_message_GetMessagesResponse__Output>): grpc.ClientUnaryCall;
  GetMessages(argument: _message_GetMessagesRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_message_GetMessagesResponse__Output>): grpc.ClientUnaryCall;
  GetMessages(argument: _message_GetMessagesRequest, callback: grpc.requestCallback<_message_GetMessagesResponse__Output>): grpc.ClientUnaryCall;
  getMessages(argument: _message_GetMessagesRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_message_GetMessagesResponse__Output>): grpc.ClientUnaryCall;
  getMessages(argument: _message_GetMessagesRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_message_GetMessagesResponse__Output>): grpc.ClientUnaryCall;
  getMessages(argument: _message_GetMessagesRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_message_GetMessagesResponse__Output>): grpc.ClientUnaryCall;
  getMessages(argument: _message_GetMessagesRequest, callback: grpc.requestCallback<_message_GetMessagesResponse__Output>): grpc.ClientUnaryCall;
  
  SendMessage(argument: _message_SendMessageRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_message_SendMessageResponse__Output>): grpc.ClientUnaryCall;
  SendMessage(argument: _message_SendMessageRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_message_SendMessageResponse__Output>): grpc.ClientUnaryCall;
  SendMessage(argument: _message_SendMessageRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_message_SendMessageResponse__Output>): grpc.ClientUnaryCall;
  SendMessage(argument: _message_SendMessageRequest, callback: grpc.requestCallback<_message_SendMessageResponse__Output>): grpc.ClientUnaryCall;
  sendMessage(argument: _message_SendMessageRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_message_SendMessageResponse__Output>): grpc.ClientUnaryCall;
  sendMessage(argument: _message_SendMessageRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_message_SendMessageResponse__Output>): grpc.ClientUnaryCall;
  sendMessage(argument: _message_SendMessageRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_message_SendMessageResponse__Output>): grpc.ClientUnaryCall;
  sendMessage(argument: _message_SendMessageRequest, callback: grpc.requestCallback<_message_SendMessageResponse__Output>): grpc.ClientUnaryCall;
  
  StreamMessages(argument: _message_StreamMessagesRequest, metadata: grpc.Metadata, options?: grpc.CallOptions): grpc.ClientReadableStream<_message_MessageEvent__Output>;
  StreamMessages(argument: _message_StreamMessagesRequest, options?: grpc.CallOptions): grpc.ClientReadableStream<_message_MessageEvent__Output>;
  streamMessages(argument: _message_StreamMessagesRequest, metadata: grpc.Metadata, options?: grpc.CallOptions): grpc.ClientReadableStream<_message_MessageEvent__Output>;
  streamMessages(argument: _message_StreamMessagesRequest, options?: grpc.CallOptions): grpc.ClientReadableStream<_message_MessageEvent__Output>;
  
}

export interface MessageServiceHandlers extends grpc.UntypedServiceImplementation {
  GetMessages: grpc.handleUnaryCall<_message_GetMessagesRequest__Output, _message_GetMessagesResponse>;
  
  SendMessage: grpc.handleUnaryCall<_message_SendMessageRequest__Output, _message_SendMessageResponse>;
  
  StreamMessages: grpc.handleServerStreamingCall<_message_StreamMessagesRequest__Output, _message_MessageEvent>;
  
}

export interface MessageServiceDefinition extends grpc.ServiceDefinition {
  GetMessages: MethodDefinition<_message_GetMessagesRequest, _message_GetMessagesResponse, _message_GetMessagesRequest__Output, _message_GetMessagesResponse__Output>
  SendMessage: MethodDefinition<_message_SendMessageRequest, _message_SendMessageResponse, _message_SendMessageRequest__Output, _message_SendMessageResponse__Output>
  StreamMessages: MethodDefinition<_message_StreamMessagesRequest, _message_MessageEvent, _message_StreamMessagesRequest__Output, _message_MessageEvent__Output>
}
