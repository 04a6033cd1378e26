/**
 * Server-sent events: a feed written to an HTTP answer that never ends (HTML Living Standard, 9.2).
 *
 * The first block has an id and no data: a reader that loses the connection before any event still knows
 * where to go on. What does not fit into the socket is not written; the log has it.
 */
import { type FastifyReply } from 'fastify'
import { type ServerResponse } from 'node:http'
import { eventHead } from '../core/events.ts'
import { type PumpEvent } from '../messaging/deliver/pump.ts'
import { type FeedOptions, type FeedReader } from '../messaging/deliver/feed.ts'
import { type Feeds } from '../messaging/deliver/feeds.ts'

const HEARTBEAT_MS = 25_000
const RECONNECT_AFTER_MS = 2_000
/** What was written before the end has so long to be taken. */
const END_WITHIN_MS = 5_000
export const EVENT_STREAM = 'text/event-stream'
const HEADERS = {
  'content-type': EVENT_STREAM,
  'cache-control': 'no-store, no-transform',
  // Of nginx and those who copy it: what is written goes out at once.
  'x-accel-buffering': 'no'
}

type StreamOptions = Omit<FeedOptions, 'door' | 'reader'>
type Reply = Pick<FastifyReply, 'hijack' | 'raw' | 'getHeaders'>

export interface EventStreams {
  /** Answers with a stream. Throws as `Feeds.open` does, before anything is written. */
  open (reply: Reply, options: StreamOptions): Promise<void>
  /** The head alone. */
  head (reply: Reply): void
  /** Ends all streams, and those opened later at once. */
  end (): void
}

export function createEventStreams (
  feeds: Pick<Feeds, 'open'>, { heartbeatMs = HEARTBEAT_MS }: { heartbeatMs?: number } = {}
): EventStreams {
  const running = new Set<() => void>()
  let stopped = false

  const head = (reply: Reply): ServerResponse =>
    reply.raw.writeHead(200, { ...reply.getHeaders() as Record<string, string>, ...HEADERS })

  async function open (reply: Reply, options: StreamOptions): Promise<void> {
    const { raw } = reply
    const reader = createReader(raw)
    const feed = await feeds.open({ ...options, door: 'sse', reader })
    reply.hijack()
    if (raw.destroyed) return feed.close()
    head(reply)
    raw.write(`retry: ${RECONNECT_AFTER_MS}\nid: ${feed.startsAfter}\n\n`)
    raw.on('drain', () => feed.drained())
    const heartbeat = setInterval(() => { if (!raw.writableNeedDrain) raw.write(':\n\n') }, heartbeatMs)
    const end = (): void => feed.disconnect('the server stops')
    running.add(end)
    raw.once('close', () => {
      clearInterval(heartbeat)
      running.delete(end)
      feed.close()
    })
    if (stopped) end()
    // Ended while its place was looked up.
    if (feed.closed) return finish(raw)
    feed.begin()
  }

  return {
    open,
    head (reply) {
      reply.hijack()
      head(reply).end()
    },
    end () {
      stopped = true
      for (const end of running) end()
    }
  }
}

const createReader = (raw: ServerResponse): FeedReader => ({
  write: events => raw.write(encode(events)),
  live (payload) {
    if (raw.writableNeedDrain) return
    const { type } = JSON.parse(payload.toString()) as { type: string }
    raw.write(`event: ${type}\ndata: ${payload.toString()}\n\n`)
  },
  end: () => { if (raw.headersSent) finish(raw) }
})

// JSON has no line break of its own, so one `data` line carries an event.
const encode = (events: PumpEvent[]): Buffer => Buffer.concat(events.flatMap(({ seq, body }) =>
  [Buffer.from(`id: ${seq}\nevent: ${body.type}\ndata: ${eventHead(seq)}`), body.tail, BLANK_LINE]))
const BLANK_LINE = Buffer.from('\n\n')

function finish (raw: ServerResponse): void {
  if (raw.writableNeedDrain) {
    raw.destroy()
    return
  }
  raw.end()
  const timer = setTimeout(() => raw.destroy(), END_WITHIN_MS)
  raw.once('close', () => clearTimeout(timer))
}
