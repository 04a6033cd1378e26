/** What goes wrong between a client and its server. */

export class EchoError extends Error {
  /** The server's problem code; `offline`, `network`, `timeout`: no answer came; `closed`: by `close`. */
  readonly code: string
  /** HTTP status; 0 when no answer came. */
  readonly status: number
  /** The server asked to wait this long. */
  readonly retryAfterMs: number | undefined

  constructor (
    code: string, detail: string,
    { status = 0, retryAfterMs, cause }: { status?: number, retryAfterMs?: number, cause?: unknown } = {}
  ) {
    super(detail, cause === undefined ? undefined : { cause })
    this.name = 'EchoError'
    this.code = code
    this.status = status
    this.retryAfterMs = retryAfterMs
  }

  /** True when the same request may succeed later without being changed. */
  get transient (): boolean {
    return this.status === 0 || this.status === 401 || this.status === 429 || this.status >= 500
  }
}
