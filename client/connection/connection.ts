/**
 * Keeps one session with the server for as long as the user wants one: it connects,
 * catches up, renews the token in place, and after an end waits and begins again.
 */
import { EchoError } from '../errors.ts'
import { delayMs, type Backoff } from './backoff.ts'
import { openSession, type Session, type SessionHandlers, type SessionOptions } from './session.ts'
import { type Tokens } from './tokens.ts'

/** A connection that held this long was a good one: the next wait is short again. */
const STABLE_MS = 10_000
/** After a longer absence the log is read in pages: one request instead of a packet for each event. */
const LONG_AWAY_MS = 60_000

/**
 * stopped     not started, or closed
 * off         the user has switched the client off
 * connecting  on the way: token, snapshot, CONNECT
 * online      events arrive as they happen
 * waiting     until the next attempt
 */
export type Phase = 'stopped' | 'off' | 'connecting' | 'online' | 'waiting'

export interface ConnectionState {
  phase: Phase
  /** Milliseconds since 1970, while waiting. */
  retry_at: number | null
  /** Why the last attempt or connection ended. */
  problem: { code: string, detail: string } | null
}

export interface ConnectionDeps {
  session: Omit<SessionOptions, 'token' | 'signal'>
  handlers: SessionHandlers
  tokens: Tokens
  /** Everything up to the end of the log, over REST. */
  catchUp (): Promise<void>
  backoff: Backoff
  random (): number
  now (): number
  changed (state: ConnectionState): void
  /** The session is there; resolves are of no interest. */
  connected (session: Session): void
  disconnected (): void
}

export interface Connection {
  readonly state: ConnectionState
  start (): void
  /** False cuts the connection, and none is opened until true. */
  setOnline (online: boolean): void
  /** The network may be back: no more waiting. */
  hurry (): void
  close (): Promise<void>
}

export function createConnection (deps: ConnectionDeps): Connection {
  const { tokens, catchUp, backoff, random, now } = deps
  let state: ConnectionState = { phase: 'stopped', retry_at: null, problem: null }
  let wanted = true
  let closing = false
  let session: Session | undefined
  let stop: AbortController | undefined
  let attempt = 0
  let lastOnlineAt = -Infinity
  /** A server that did not know the device may have begun behind what it has not seen. */
  let mayLack = false
  let wake: () => void = () => {}
  let running: Promise<void> | undefined

  const show = (phase: Phase, more: Partial<ConnectionState> = {}): void => {
    state = { ...state, retry_at: null, ...more, phase }
    deps.changed(state)
  }

  /** Until `ms` have gone by, or somebody is in a hurry. */
  async function pause (ms: number | undefined): Promise<void> {
    let timer: ReturnType<typeof setTimeout> | undefined
    await new Promise<void>(resolve => {
      wake = resolve
      if (ms !== undefined) timer = setTimeout(resolve, ms)
    })
    clearTimeout(timer)
  }

  async function run (): Promise<void> {
    for (;;) {
      if (closing) return show('stopped')
      if (!wanted) {
        show('off')
        await pause(undefined)
        continue
      }
      const error = await live()
      deps.disconnected()
      session = undefined
      if (closing || !wanted) continue
      const wait = delayMs(backoff, attempt++, random, error.retryAfterMs)
      show('waiting', { retry_at: now() + wait, problem: { code: error.code, detail: error.message } })
      await pause(wait)
    }
  }

  /** One connection, from its first step to its end; resolves to what ended it. */
  async function live (): Promise<EchoError> {
    show('connecting')
    stop = new AbortController()
    const { signal } = stop
    try {
      if (now() - lastOnlineAt > LONG_AWAY_MS) await catchUp()
      signal.throwIfAborted()
      const opened = session = await openSurely(signal)
      if (mayLack) await catchUp()
      mayLack = false
      const since = now()
      show('online', { problem: null })
      deps.connected(opened)
      keepFresh(opened, signal)
      const error = await opened.closed
      lastOnlineAt = now()
      if (now() - since > STABLE_MS) attempt = 0
      return error
    } catch (error) {
      return error instanceof EchoError
        ? error
        : new EchoError('internal', error instanceof Error ? error.message : String(error), { cause: error })
    } finally {
      stop.abort()
    }
  }

  async function openSurely (signal: AbortSignal): Promise<Session> {
    const before = mayLack
    mayLack = true // until the answer: it may be lost, and the next one says that the device is known
    try {
      const opened = await open(signal)
      mayLack = before || !opened.present
      return opened
    } catch (error) {
      if (error instanceof EchoError && error.status !== 0) mayLack = before // refused, so nothing has begun
      throw error
    }
  }

  async function open (signal: AbortSignal): Promise<Session> {
    const token = await tokens.current()
    try {
      return await openSession({ ...deps.session, token, signal }, deps.handlers)
    } catch (error) {
      if (error instanceof EchoError && error.status === 401) tokens.refuse(token)
      throw error
    }
  }

  /** A fresh token on the same connection, before the old one expires. */
  function keepFresh (opened: Session, signal: AbortSignal): void {
    const timer = setTimeout(() => {
      tokens.renew()
        .then(token => opened.command({ type: 'auth', token, request_id: 'auth' }))
        // The old one is good for a while; when it is not, the server ends the connection.
        .catch(() => {})
        .finally(() => { if (!signal.aborted) keepFresh(opened, signal) })
    }, tokens.dueMs())
    signal.addEventListener('abort', () => clearTimeout(timer), { once: true })
  }

  return {
    get state () { return state },
    start () { running ??= run() },
    setOnline (online) {
      if (wanted === online) return
      wanted = online
      if (!online) stop?.abort()
      attempt = 0
      wake()
    },
    hurry () {
      if (state.phase !== 'waiting') return
      attempt = 0
      wake()
    },
    async close () {
      closing = true
      wake()
      await session?.leave()
      stop?.abort()
      await running
    }
  }
}
