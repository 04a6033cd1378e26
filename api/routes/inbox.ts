/** The inbox log over HTTP: the events that MQTT delivers, and acknowledging them. */
import { Type } from 'typebox'
import { AppError, invalid } from '../../core/errors.ts'
import { eventHead } from '../../core/events.ts'
import { type Messaging } from '../../messaging/start.ts'
import { inboxCounters } from '../../store/people/users.ts'
import { type App } from '../app.ts'
import { callerOf } from '../authentication.ts'
import { NoContent, operation, problems } from '../contract/operations.ts'
import { pageLimit } from '../contract/paging.ts'
import { InboxPage, refer } from '../contract/schemas.ts'
import { readIdHeader } from '../requests/headers.ts'
import { type LongPolls } from '../long-poll.ts'

const DEFAULT_PAGE = 100
const MAX_PAGE = 500
const MAX_WAIT_S = 30
/** A page ends at this many characters: a client that does not read its answer must not cost much memory. */
const MAX_PAGE_LENGTH = 1_048_576
const MAX_SEQ = Number.MAX_SAFE_INTEGER

type Events = Awaited<ReturnType<Messaging['inboxLog']['after']>>

export function inboxRoutes (
  app: App, messaging: Messaging, polls: LongPolls
): void {
  const { inboxLog, acknowledgements, database } = messaging
  app.get('/inbox', {
    schema: {
      ...operation('inbox', 'Read the events after a seq'),
      description: 'Reading acknowledges nothing. ' +
        'With `wait` the answer comes as soon as there is an event, or after that many seconds. ' +
        '410 `resync_required`: events after `after` are no longer kept, or the log ends before it; ' +
        'list the conversations and go on from their `inbox.last_seq`.',
      querystring: Type.Object({
        after: Type.Optional(Type.Integer({ minimum: 0, maximum: MAX_SEQ, default: 0 })),
        limit: pageLimit(DEFAULT_PAGE, MAX_PAGE),
        wait: Type.Optional(Type.Integer({
          minimum: 0, maximum: MAX_WAIT_S, default: 0, description: 'Seconds'
        }))
      }),
      response: { 200: refer(InboxPage, 'The events, oldest first'), ...problems('resync_required') }
    }
  }, async (request, reply) => {
    const { userId } = callerOf(request)
    const { after = 0, limit = DEFAULT_PAGE, wait = 0 } = request.query
    const read = () => inboxLog.after(userId, after, limit)
    const events = wait === 0 ? await read() : await readWhenThere(wait)
    if (events[0]?.body.type === 'resync_required') throw resyncRequired()
    // After the events: the end then cannot lie before the events of this page.
    return await reply.type('application/json').send(renderPage(events, after, await endOfLog()) as never)

    // A log that ends before what the client has is not the one it knows.
    async function endOfLog (): Promise<number> {
      const [counters] = await inboxCounters(database.autocommit, [userId])
      const end = counters?.inbox_seq ?? 0
      if (after > end) throw resyncRequired()
      return end
    }

    async function readWhenThere (waitS: number): Promise<Events> {
      using poll = polls.open(userId, waitS * 1_000, request.raw.socket)
      let found = await read()
      if (found.length === 0) await endOfLog()
      while (found.length === 0 && await poll.news()) found = await read()
      return found
    }
  })

  // All recipients of an event share its encoded body: the page is put together as text.
  function renderPage (events: Events, after: number, lastSeq: number): string {
    let texts = ''
    let end = after
    for (const { seq, body } of events) {
      texts += `${texts === '' ? '' : ','}${eventHead(seq)}${body.tail.toString()}`
      end = seq
      if (texts.length > MAX_PAGE_LENGTH) break
    }
    const logEnd = `"epoch":${JSON.stringify(messaging.epoch)},"last_seq":${lastSeq}`
    return `{"events":[${texts}],${logEnd},"has_more":${end < lastSeq}}`
  }

  app.post('/inbox/ack', {
    schema: {
      ...operation('inbox', 'Acknowledge everything up to a seq'),
      description: 'For a client woken by a push, and for a new device that has taken a snapshot. ' +
        'It counts for the device named in `X-Device-ID`.',
      headers: Type.Object({
        'x-device-id': Type.Optional(Type.String({
          description: 'Required: 1 to 128 characters', examples: ['pixel-8']
        }))
      }),
      body: Type.Object({
        seq: Type.Integer({ minimum: 0, maximum: MAX_SEQ, examples: [0] })
      }, { additionalProperties: false }),
      response: {
        204: NoContent, ...problems('device_id_required', 'invalid_header', 'invalid_text', 'seq_beyond_end')
      }
    }
  }, async (request, reply) => {
    const { userId } = callerOf(request)
    const { seq } = request.body
    const deviceId = readIdHeader(request.raw.headers, 'x-device-id')
    if (deviceId === undefined) {
      throw invalid('device_id_required', 'the header X-Device-ID must name the device that acknowledges')
    }
    const [counters] = await inboxCounters(database.autocommit, [userId])
    const lastSeq = counters?.inbox_seq ?? 0
    if (seq > lastSeq) throw invalid('seq_beyond_end', `the inbox ends at ${lastSeq}`)
    await acknowledgements.apply({ userId, deviceId, seq })
    return await reply.code(204).send(null)
  })
}

const resyncRequired = (): AppError =>
  new AppError('gone', 'resync_required', 'the log does not go on from this seq: take a new snapshot')
