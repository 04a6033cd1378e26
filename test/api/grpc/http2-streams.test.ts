/** What Echo takes from the inside of grpc-js is looked for at the start. */
import { afterEach, expect, test, vi } from 'vitest'

const INSIDE = '@grpc/grpc-js/build/src/server-interceptors.js'
const MODULE = '../../../api/grpc/http2-streams.ts'

afterEach(() => {
  vi.doUnmock(INSIDE)
  vi.resetModules()
})

test('the installed grpc-js has what is needed to reset a stream', async () => {
  const { requireHttp2Streams } = await import(MODULE)
  requireHttp2Streams()
})

test('with a grpc-js that keeps the stream elsewhere nothing starts, and the error says what is missing', async () => {
  vi.doMock(INSIDE, () => ({
    BaseServerInterceptingCall: class {
      readonly http2: unknown
      constructor (stream: unknown) { this.http2 = stream }
    }
  }))
  const { startTestApi } = await import('../api.ts')
  await expect(startTestApi()).rejects.toThrow('@grpc/grpc-js keeps the HTTP/2 stream of a call elsewhere')
})
