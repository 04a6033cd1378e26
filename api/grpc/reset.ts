/** The one place that looks inside grpc-js 1.14, which has no way to reset a stream from the server. */
import { type ServerWritableStream } from '@grpc/grpc-js'
import { constants, type ServerHttp2Stream } from 'node:http2'

interface Layer { nextCall?: Layer, call?: Layer, stream?: ServerHttp2Stream }

/** Drops what waits to be read, and the stream with it (RST_STREAM, seen as CANCELLED). */
export function resetStream (call: ServerWritableStream<any, any>): void {
  let layer: Layer | undefined = call as unknown as Layer
  while (layer !== undefined && layer.stream === undefined) layer = layer.nextCall ?? layer.call
  layer?.stream?.close(constants.NGHTTP2_CANCEL)
}
