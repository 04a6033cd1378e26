/**
 * The HTTP/2 stream below each call: the one place that looks inside grpc-js 1.14, which hands it to nobody,
 * cannot reset a stream from the server, and tells nobody of the calls that it refuses by itself: those that
 * are too large or no message, and those with a deadline that is no time or comes before the request has.
 */
import {
  ServerInterceptingCall, status, type Metadata, type ServerInterceptingCallInterface,
  type ServerInterceptor
} from '@grpc/grpc-js'
import { BaseServerInterceptingCall } from '@grpc/grpc-js/build/src/server-interceptors.js'
import { constants, type ServerHttp2Stream } from 'node:http2'
import { Duplex } from 'node:stream'

export interface Http2Streams {
  interceptor: ServerInterceptor
  /** The handler has got the call: who ends it, and how, is known from here on. */
  begun (call: Call): void
  /** Drops what waits to be read, and the stream with it (RST_STREAM, seen as CANCELLED). */
  reset (call: Call): void
}
interface Call { metadata: Metadata }

/** `refused` hears of calls that ended before their handler got them; CANCELLED: the client had gone. */
export function watchHttp2Streams (refused: (path: string, code: keyof typeof status) => void): Http2Streams {
  const streams = new WeakMap<Metadata, ServerHttp2Stream>()
  const begun = new WeakSet<Metadata>()
  return {
    interceptor ({ path }, call) {
      const stream = streamBelow(call)
      let metadata: Metadata | undefined
      return new ServerInterceptingCall(call, {
        start: next => next({
          onReceiveMetadata (received, pass) {
            streams.set(metadata = received, stream)
            pass(received)
          },
          // At the end of every call.
          onCancel () {
            if (metadata === undefined || begun.has(metadata)) return
            const sent = Number(stream.sentHeaders?.['grpc-status'] ?? status.CANCELLED)
            refused(path, status[sent] as keyof typeof status)
          }
        })
      })
    },
    begun ({ metadata }) { begun.add(metadata) },
    reset ({ metadata }) { streams.get(metadata)?.close(constants.NGHTTP2_CANCEL) }
  }
}

/** Throws when grpc-js is not as this file takes it to be. To be called at the start. */
export function requireHttp2Streams (OfGrpc = BaseServerInterceptingCall): void {
  const probe = new Duplex({ read () {} }) as ServerHttp2Stream
  const handler = {
    type: 'unary', path: '/', func () {}, serialize: () => Buffer.alloc(0), deserialize: () => ({})
  } as const
  if (streamBelow(new OfGrpc(probe, {}, null, handler, {})) !== probe) throw missing()
}

function streamBelow (call: ServerInterceptingCallInterface): ServerHttp2Stream {
  const stream: ServerHttp2Stream | undefined =
    call instanceof BaseServerInterceptingCall ? call['stream'] : undefined
  if (stream === undefined) throw missing()
  return stream
}

const missing = (): Error =>
  new Error('this version of @grpc/grpc-js keeps the HTTP/2 stream of a call elsewhere than in ' +
    'BaseServerInterceptingCall.stream: without it, streams that nobody reads cannot be ended ' +
    '(api/grpc/http2-streams.ts)')
