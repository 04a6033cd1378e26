/** What an operation says of itself in the OpenAPI document, besides its shapes: tag, summary, problems. */
import { Type } from 'typebox'
import { meaningOf, STATUS_DESCRIPTIONS, statusOf, type ProblemCode } from './problem-codes.ts'
import { problem, PROBLEM_TYPE } from './problems.ts'
import { Problem, refer } from './schemas.ts'

/** An operation behind a token. */
export const operation = (tag: string, summary: string) =>
  ({ tags: [tag], summary, security: [{ token: [] }] })

/** An operation for tokens of scope `admin`. */
export const adminOperation = (summary: string, description: string) =>
  ({ ...operation('admin', summary), description: `${description} Needs a token of scope \`admin\`.` })

export const NoContent = Type.Null({ description: 'Done' })

/**
 * The problems of an operation, to be spread into its `response`: name the codes that are its own, as in
 * `...problems('message_not_found', 'not_the_sender')`. The compiler knows the codes of problem-codes.ts.
 * documentation.ts adds those that all operations share (tokens, malformed bodies, the database away, …).
 * The type is left open, because handlers throw problems and never send them.
 */
export function problems (...codes: ProblemCode[]): object {
  const responses: Record<number, object> = {}
  for (const [status, own] of byStatus(codes)) {
    responses[status] = {
      description: STATUS_DESCRIPTIONS[status],
      ...(HEADERS[status] === undefined ? {} : { headers: HEADERS[status] }),
      content: {
        [PROBLEM_TYPE]: {
          schema: { allOf: [refer(Problem), { properties: { code: { enum: own } } }] },
          examples: Object.fromEntries(own.map(code =>
            [code, { value: problem(status, code, meaningOf(code)) }]))
        }
      }
    }
  }
  return responses
}

const RETRY_AFTER = { 'retry-after': { type: 'integer', description: 'Seconds', examples: [1] } }
const HEADERS: Record<number, object> = {
  401: { 'www-authenticate': { type: 'string', examples: ['Bearer'] } },
  429: RETRY_AFTER,
  503: RETRY_AFTER
}

function byStatus (codes: ProblemCode[]): Map<ReturnType<typeof statusOf>, ProblemCode[]> {
  const grouped = new Map<ReturnType<typeof statusOf>, ProblemCode[]>()
  for (const code of [...new Set(codes)].sort()) {
    grouped.set(statusOf(code), [...grouped.get(statusOf(code)) ?? [], code])
  }
  return grouped
}
