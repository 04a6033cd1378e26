/** The inbox log as server-sent events. */
import { type FastifyReply, type FastifyRequest } from 'fastify'
import { randomUUID } from 'node:crypto'
import { Type } from 'typebox'
import { type App } from '../app.ts'
import { callerOf } from '../authentication.ts'
import { operation, problems } from '../contract/operations.ts'
import { EVENT_STREAM, type EventStreams } from '../event-streams.ts'
import { readIdHeader } from '../requests/headers.ts'

const EXAMPLE = [
  'retry: 2000', 'id: 41', '',
  'id: 42', 'event: message_read', 'data: {"seq":42,"type":"message_read","…":"…"}', '', ''
].join('\n')

export function eventRoutes (app: App, streams: EventStreams): void {
  const schema = {
    headers: Type.Object({
      'last-event-id': Type.Optional(Type.String({
        pattern: '^\\d{1,15}$',
        description: 'The `seq` of the last event that the reader has; without it the stream begins at the end',
        examples: ['0']
      })),
      'x-device-id': Type.Optional(Type.String({
        description: 'What administrators see; by default a name is made up', examples: ['browser-1']
      }))
    }),
    response: {
      200: {
        description: 'The events, without end',
        content: { [EVENT_STREAM]: { schema: Type.String({ format: 'binary' }), example: EXAMPLE } }
      }
    }
  }

  app.get('/events', {
    exposeHeadRoute: false, // the one below opens no stream
    schema: {
      ...operation('inbox', 'Follow the events as a stream'),
      description: 'Server-sent events: `id` is the `seq`, `event` the type, `data` the event. ' +
        '`typing`, `presence` and `draft` have no id. Reading acknowledges nothing. ' +
        'A comment comes every 25 s; a reader that takes nothing for 60 s is disconnected, ' +
        'and goes on with `Last-Event-ID`. ' +
        '410 `resync_required`: the log does not go on from there; take a new snapshot.',
      ...schema,
      response: {
        ...schema.response, ...problems('resync_required', 'invalid_header', 'invalid_text')
      }
    }
  }, async (request: Request, reply: Reply) => {
    const after = request.headers['last-event-id']
    await streams.open(reply, {
      identity: callerOf(request),
      deviceId: readIdHeader(request.raw.headers, 'x-device-id') ?? `sse-${randomUUID()}`,
      address: request.ip,
      after: after === undefined ? undefined : Number(after)
    })
  })

  app.head('/events', {
    schema: { ...operation('inbox', 'What a stream would answer'), ...schema }
  }, (_request, reply: Reply) => streams.head(reply))
}

type Request = FastifyRequest<{ Headers: { 'last-event-id'?: string } }, any, any, any, any, any, any, any>
type Reply = FastifyReply<any, any, any, any, any, any, any, any>
