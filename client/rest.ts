/** The REST API with the client's token: JSON in, JSON out, problems as EchoError. */
import { EchoError } from './errors.ts'
import { type Tokens } from './connection/tokens.ts'

const TIMEOUT_MS = 20_000

export interface RequestOptions {
  body?: unknown
  headers?: Record<string, string>
  signal?: AbortSignal
}

export interface Rest {
  request<T = void> (method: string, path: string, options?: RequestOptions): Promise<T>
  /** The answer as it is, of what `send` asks for with a token. Throws as `request` does. */
  withToken (send: (token: string) => Promise<Response>, signal?: AbortSignal): Promise<Response>
  /** Where a route is. */
  address (path: string): string
}

export interface RestDeps {
  /** Scheme, host and port: `https://chat.example`. */
  api: string
  tokens: Tokens
  /** The user has switched the client off. */
  isOff (): boolean
}

export function createRest ({ api, tokens, isOff }: RestDeps): Rest {
  const base = `${api.replace(/\/$/, '')}/api/v1`

  async function attempt (
    send: (token: string) => Promise<Response>, signal?: AbortSignal
  ): Promise<Response> {
    if (isOff()) throw new EchoError('offline', 'the client is switched off')
    const token = await tokens.current()
    const response = await send(token).catch((error: unknown) => {
      if (signal?.aborted === true) throw error
      throw new EchoError('network', 'the server did not answer', { cause: error })
    })
    if (response.ok) return response
    if (response.status === 401) tokens.refuse(token)
    throw await problemOf(response)
  }

  async function withToken (
    send: (token: string) => Promise<Response>, signal?: AbortSignal
  ): Promise<Response> {
    try {
      return await attempt(send, signal)
    } catch (error) {
      // A token may have expired while the device slept: once more, with a new one.
      if (!(error instanceof EchoError && error.status === 401)) throw error
      return await attempt(send, signal)
    }
  }

  return {
    address: path => base + path,
    withToken,
    async request<T> (method: string, path: string, { body, headers, signal }: RequestOptions = {}) {
      const response = await withToken(token => {
        const timeout = AbortSignal.timeout(TIMEOUT_MS)
        return fetch(base + path, {
          method,
          body: body === undefined ? undefined : JSON.stringify(body),
          headers: {
            authorization: `Bearer ${token}`,
            ...(body === undefined ? {} : { 'content-type': 'application/json' }),
            ...headers
          },
          signal: signal === undefined ? timeout : AbortSignal.any([timeout, signal])
        })
      }, signal)
      return await jsonOf<T>(response)
    }
  }
}

async function jsonOf<T> (response: Response): Promise<T> {
  if (response.status === 204) return undefined as T
  try {
    return await response.json() as T
  } catch (error) {
    throw new EchoError('network', 'the answer broke off', { cause: error })
  }
}

/** RFC 9457; something in between may answer without it. */
async function problemOf (response: Response): Promise<EchoError> {
  const problem: { code?: string, detail?: string, title?: string } =
    await response.json().catch(() => ({})) as object
  const retryAfter = Number(response.headers.get('retry-after'))
  return new EchoError(
    problem.code ?? `http_${response.status}`, problem.detail ?? problem.title ?? response.statusText,
    { status: response.status, retryAfterMs: retryAfter > 0 ? retryAfter * 1_000 : undefined }
  )
}
