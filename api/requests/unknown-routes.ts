/** What is answered where no route takes a request: 405 for a known path (RFC 9110, 15.5.6), else 404. */
import { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import { AppError } from '../../core/errors.ts'
import { problem, PROBLEM_TYPE } from '../contract/problems.ts'

type Handler = (request: FastifyRequest, reply: FastifyReply) => void

/** To be called before the routes: it listens to their registration. */
export function answerUnknownRoutes (app: Pick<FastifyInstance, 'addHook'>): Handler {
  const methodsOf = new Map<string, { pattern: RegExp, methods: Set<string> }>()
  app.addHook('onRoute', ({ url, method }) => {
    // The route that takes preflights matches every path.
    if (method === 'OPTIONS') return
    const known = methodsOf.get(url) ?? { pattern: patternOf(url), methods: new Set() }
    for (const one of [method].flat()) known.methods.add(one)
    methodsOf.set(url, known)
  })

  return (request, reply) => {
    const path = request.url.split('?', 1)[0]!
    const allowed = new Set<string>()
    for (const { pattern, methods } of methodsOf.values()) {
      if (pattern.test(path)) methods.forEach(one => allowed.add(one))
    }
    if (allowed.size === 0) {
      throw new AppError('not_found', 'route_not_found', `there is no ${request.method} on this path`)
    }
    const allow = [...allowed].sort().join(', ')
    reply.code(405).header('allow', allow).type(PROBLEM_TYPE)
      .send(JSON.stringify(problem(405, 'method_not_allowed', `this path takes ${allow}`)))
  }
}

/** As the router reads it: a parameter at the end may be empty, `*` is anything. */
const patternOf = (url: string): RegExp => new RegExp('^' + url
  .replaceAll(/[.+?^$()|[\]\\]/g, '\\$&')
  .replaceAll('*', '.*')
  .replace(/:\w+$/, '[^/]*')
  .replaceAll(/:\w+/g, '[^/]+') + '$')
