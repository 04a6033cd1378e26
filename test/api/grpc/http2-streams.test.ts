/** What Echo takes from the inside of grpc-js is looked for at the start. */
import { BaseServerInterceptingCall } from '@grpc/grpc-js/build/src/server-interceptors.js'
import { expect, test } from 'vitest'
import { requireHttp2Streams } from '../../../api/grpc/http2-streams.ts'

test('the installed grpc-js has what is needed to reset a stream', () => {
  requireHttp2Streams()
})

test('a grpc-js that keeps the stream elsewhere is refused, and the error says what is missing', () => {
  class KeepsItElsewhere extends BaseServerInterceptingCall {
    constructor (...args: ConstructorParameters<typeof BaseServerInterceptingCall>) {
      super(...args)
      Reflect.deleteProperty(this, 'stream')
    }
  }
  expect(() => requireHttp2Streams(KeepsItElsewhere))
    .toThrow('@grpc/grpc-js keeps the HTTP/2 stream of a call elsewhere')
})
