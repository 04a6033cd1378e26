/**
 * What a browser lets pages of other origins do (CORS, in the Fetch Standard): nothing by default, and
 * nothing outside of the API. No cookie says who somebody is, so credentials are never allowed: a page
 * brings a token.
 */
import cors, { type FastifyCorsOptions } from '@fastify/cors'
import { type FastifyInstance } from 'fastify'

const API = '/api/'
/** A browser asks again after so long; the longest that Chromium keeps an answer. */
const PREFLIGHT_S = 7_200
const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE']
/** Besides these, scripts are shown only what every page may see, such as the type of the body. */
const EXPOSED = [
  'X-Request-ID', 'Location', 'Allow', 'Retry-After', 'WWW-Authenticate', 'X-RateLimit-Limit',
  'X-RateLimit-Remaining', 'X-RateLimit-Reset', 'ETag', 'Accept-Ranges', 'Content-Range', 'Content-Disposition'
]

/** `*` among the origins means any. */
export async function allowOrigins (
  app: Pick<FastifyInstance, 'register'>, origins: string[] | undefined
): Promise<void> {
  if (origins === undefined || origins.length === 0) return
  const allowed: FastifyCorsOptions = {
    origin: origins,
    methods: METHODS,
    exposedHeaders: EXPOSED,
    maxAge: PREFLIGHT_S,
    // An OPTIONS that is no preflight gets the same answer, not one in plain text.
    strictPreflight: false
  }
  await app.register(cors, {
    delegator: (request, done) =>
      done(null, request.url.startsWith(API) ? allowed : { origin: false })
  })
}
