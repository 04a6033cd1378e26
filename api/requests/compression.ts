/**
 * Large answers to GET go out compressed, to clients that take gzip. Other methods have no hook here, and
 * files and server-sent events, which are streams, go out as they are.
 *
 * The work is done outside of the event loop. That lengths tell of contents (BREACH) helps nobody: a page
 * of a stranger cannot ask in a user's name, because the token is in a header.
 */
import { Negotiator } from '@fastify/accept-negotiator'
import { type FastifyReply, type FastifyRequest } from 'fastify'
import { gzip } from 'node:zlib'
import { type App } from '../app.ts'

/** Some packets. What is smaller hardly arrives sooner. */
const MIN_LENGTH = 8 * 1024

const encodings = new Negotiator({ supportedValues: ['gzip'] })

/** For the GET routes that are added to `app` from here on. */
export function compressAnswers (app: Pick<App, 'addHook'>): void {
  app.addHook('onRoute', route => {
    if (route.method === 'GET') route.onSend = [compress, ...[route.onSend ?? []].flat()]
  })
}

function compress (
  request: FastifyRequest, reply: FastifyReply, payload: unknown,
  done: (error: Error | null, payload?: unknown) => void
): void {
  if (typeof payload !== 'string' || payload.length < MIN_LENGTH) return done(null, payload)
  const vary = reply.getHeader('vary')
  reply.header('vary', vary === undefined ? 'accept-encoding' : `${String(vary)}, accept-encoding`)
  if (encodings.negotiate(request.headers['accept-encoding'] as string) !== 'gzip') return done(null, payload)
  gzip(payload, (error, compressed) => {
    if (error === null) reply.header('content-encoding', 'gzip')
    done(error, compressed)
  })
}
