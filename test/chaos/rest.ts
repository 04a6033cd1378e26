/** REST as an app uses it: any API, an answer within a deadline, and again when there was none. */
import { setTimeout as sleep } from 'node:timers/promises'
import { token, type Node } from './cluster.ts'
import { type Random } from './random.ts'

const TIMEOUT_MS = 10_000
const RETRY_MIN_MS = 100
const RETRY_MAX_MS = 400
const MUST_WITHIN_MS = 90_000

/** `status` 0: no answer came. What is not JSON is a Buffer. */
export interface Answer { status: number, body: any }

export interface Rest {
  once (
    api: Node, userId: string, method: string, path: string, body?: unknown, headers?: Record<string, string>
  ): Promise<Answer>
  /** One attempt at any API. */
  attempt (userId: string, method: string, path: string, body?: unknown): Promise<Answer>
  /** Repeats until an answer is final; throws when there is none in time, or when it is an error. */
  must (
    userId: string, method: string, path: string, body?: unknown, headers?: Record<string, string>
  ): Promise<any>
  mustGet (userId: string, path: string): Promise<any>
  pause (): Promise<void>
}

/** An answer that the contract lets one repeat: none, too many, or the database is away. */
export const isTransient = ({ status }: Answer): boolean => status === 0 || status === 429 || status === 503

export function openRest (apis: Node[], random: Random): Rest {
  const tokens = new Map<string, Promise<string>>()

  const rest: Rest = {
    async once (api, userId, method, path, body, headers = {}) {
      if (!tokens.has(userId)) tokens.set(userId, token(userId))
      const isJson = body !== undefined && !(body instanceof FormData)
      const authorization = `Bearer ${await tokens.get(userId)!}`
      try {
        const response = await fetch(`${api.http}/api/v1${path}`, {
          method,
          headers: { authorization, ...(isJson ? { 'content-type': 'application/json' } : {}), ...headers },
          body: isJson ? JSON.stringify(body) : body,
          signal: AbortSignal.timeout(TIMEOUT_MS)
        })
        const bytes = Buffer.from(await response.arrayBuffer())
        const said = response.headers.get('content-type') ?? ''
        const answer = said.includes('json') && bytes.length > 0 ? JSON.parse(bytes.toString()) : bytes
        return { status: response.status, body: bytes.length === 0 ? undefined : answer }
      } catch {
        return { status: 0, body: undefined }
      }
    },
    attempt: (userId, method, path, body) => rest.once(random.pick(apis), userId, method, path, body),
    async must (userId, method, path, body, headers) {
      for (const deadline = performance.now() + MUST_WITHIN_MS; ; await rest.pause()) {
        const answer = await rest.once(random.pick(apis), userId, method, path, body, headers)
        if (answer.status >= 200 && answer.status < 300) return answer.body
        if (!isTransient(answer) || performance.now() > deadline) {
          throw new Error(
            `${method} ${path} for ${userId} was answered ${answer.status} ${JSON.stringify(answer.body)}`
          )
        }
      }
    },
    mustGet: (userId, path) => rest.must(userId, 'GET', path),
    pause: () => sleep(random.between(RETRY_MIN_MS, RETRY_MAX_MS))
  }
  return rest
}
