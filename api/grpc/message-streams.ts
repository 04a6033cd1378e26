/**
 * Feeds written to gRPC streams.
 *
 * What does not fit is not written: the log has it. A status waits behind what was written before it, so a
 * reader that takes nothing would never get it: its stream is reset.
 */
import { status, type ServerWritableStream } from '@grpc/grpc-js'
import { type FeedOptions } from '../../messaging/deliver/feed.ts'
import { type Feeds } from '../../messaging/deliver/feeds.ts'
import { type MessageEvent } from './generated/message/MessageEvent.ts'
import { type Http2Streams } from './http2-streams.ts'
import { eventOf } from './messages.ts'
import { Failure } from './statuses.ts'

/** What was written before the end has so long to be taken. */
const END_WITHIN_MS = 5_000

interface StreamOptions extends Omit<FeedOptions, 'door' | 'reader'> {
  /** Tells the client that the stream has begun. */
  greet: () => void
}
type Stream = ServerWritableStream<any, MessageEvent>

export interface MessageStreams {
  /** Resolves when the stream has ended: with what ended it, or with nothing when the client has gone. */
  follow (call: Stream, options: StreamOptions): Promise<Failure | undefined>
  /** Ends all streams, and those opened later at once. */
  end (): void
}

export function createMessageStreams (
  feeds: Pick<Feeds, 'open'>, http2: Pick<Http2Streams, 'reset'>
): MessageStreams {
  const running = new Set<() => void>()
  let stopped = false

  async function follow (call: Stream, { greet, ...options }: StreamOptions): Promise<Failure | undefined> {
    let resolve: (failure: Failure | undefined) => void
    const ended = new Promise<Failure | undefined>(_resolve => { resolve = _resolve })
    const feed = await feeds.open({
      ...options,
      door: 'grpc',
      reader: {
        write (events) {
          let free = true
          for (const { body } of events) {
            const event = eventOf(body)
            if (event !== undefined) free = call.write(event)
          }
          return free
        },
        end (reason) {
          resolve(stopped
            ? new Failure(status.UNAVAILABLE, 'unavailable', 'the server stops')
            : new Failure(status.ABORTED, 'stream_ended', reason))
        }
      }
    })
    const end = (): void => feed.disconnect('the server stops')
    running.add(end)
    call.on('drain', () => feed.drained())
    call.once('cancelled', () => {
      feed.close()
      resolve(undefined)
    })
    if (call.cancelled) feed.close()
    if (stopped) end()
    greet()
    feed.begin()
    try {
      return call.cancelled ? undefined : await ended
    } finally {
      running.delete(end)
      const timer = setTimeout(() => http2.reset(call), END_WITHIN_MS).unref()
      call.once('finish', () => clearTimeout(timer))
    }
  }

  return {
    follow,
    end () {
      stopped = true
      for (const end of running) end()
    }
  }
}
