/** What the console asks: admin routes with the token, and what is open to all. */
import { signal } from '@preact/signals'

/** Of this tab alone, and gone with it. */
const STORED = 'echo-console-token'

export const token = signal(sessionStorage.getItem(STORED) ?? '')

export function useToken (value: string): void {
  token.value = value
  if (value === '') sessionStorage.removeItem(STORED)
  else sessionStorage.setItem(STORED, value)
}

/** What the server refused, or that it could not be reached. */
export class Refused extends Error {
  readonly status: number
  constructor (status: number, detail: string) {
    super(detail)
    this.name = 'Refused'
    this.status = status
  }
}

async function ask (url: string, init?: RequestInit): Promise<Response> {
  try {
    return await fetch(url, init)
  } catch {
    throw new Refused(0, 'The server cannot be reached.')
  }
}

/** Of the routes below `/api/v1/admin`. Throws Refused. */
export async function askAdmin<T> (
  path: string, method = 'GET', body?: object, bearer = token.value
): Promise<T> {
  const answer = await ask(`/api/v1/admin${path}`, {
    method,
    body: body && JSON.stringify(body),
    headers: {
      authorization: `Bearer ${bearer}`, ...body && { 'content-type': 'application/json' }
    }
  })
  if (answer.status === 204) return undefined as T
  const read = await answer.json().catch(() => ({}))
  if (!answer.ok) throw new Refused(answer.status, read.detail ?? `The server answers ${answer.status}.`)
  return read
}

export interface Readiness { ready: boolean, dependencies: Record<string, { ok: boolean, detail?: string }> }

/** 503 is an answer too: it says what is away. */
export async function askReadiness (): Promise<Readiness> {
  const answer = await ask('/ready')
  const read = await answer.json().catch(() => undefined)
  if (read?.dependencies === undefined) throw new Refused(answer.status, `/ready answers ${answer.status}.`)
  return read
}

export async function askMetrics (): Promise<string> {
  const answer = await ask('/metrics')
  if (!answer.ok) throw new Refused(answer.status, `/metrics answers ${answer.status}.`)
  return await answer.text()
}
