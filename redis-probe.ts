/** Whether Redis lets this process in: what waiting heals is told from what a person must change. */
import { once } from 'node:events'
import { connect } from 'node:net'
import { Redis } from 'ioredis'
import { AppError } from './core/errors.ts'

const ANSWER_MS = 2_000
const DEFAULT_PORT = 6379

/** What Redis says, or the certificate, and what to do about it: waiting heals none of these. */
const LASTING: Array<[RegExp, string]> = [
  [/^WRONGPASS/, 'the password in it is wrong, or the user does not exist'],
  [/^NOAUTH/, 'the server asks for a password, and REDIS_URL has none'],
  [/^NOPERM/, 'the user in it may not do what Echo needs: every command, key and channel'],
  [/DB index/, 'the number behind the last / of it names no database of the server'],
  [/certificate|altnames/, 'the certificate of the server is not one that Node trusts (NODE_EXTRA_CA_CERTS)']
]

/** Throws `unavailable` when Redis is away, and an Error that names REDIS_URL when waiting heals nothing. */
export const probeRedis = (url: string) => async (): Promise<void> => {
  const redis = new Redis(url, {
    lazyConnect: true,
    maxRetriesPerRequest: 0,
    retryStrategy: () => null,
    commandTimeout: ANSWER_MS,
    connectTimeout: ANSWER_MS
  })
  // What goes wrong while connecting is told here; connect() only says that the connection is closed.
  let cause: Error | undefined
  redis.on('error', (error: Error) => { cause ??= error })
  try {
    await redis.connect()
    await redis.ping()
  } catch (error) {
    cause ??= error as Error
  } finally {
    redis.disconnect()
  }
  if (cause === undefined) return
  const { message } = cause
  const lasting = LASTING.find(([pattern]) => pattern.test(message))
  if (lasting !== undefined) throw new Error(`REDIS_URL: ${message} (${lasting[1]})`)
  if (url.startsWith('rediss:') && await answersWithoutTls(url)) {
    throw new Error('REDIS_URL: the server answers without TLS (rediss:// asks for it, redis:// does not)')
  }
  throw new AppError('unavailable', 'unavailable', 'Redis does not answer', { cause })
}

/** To the start of a TLS connection such a server says nothing, as if it were away. No password is sent. */
async function answersWithoutTls (url: string): Promise<boolean> {
  const { hostname, port } = new URL(url)
  const socket = connect(Number(port || DEFAULT_PORT), hostname.replace(/^\[|\]$/g, ''))
  socket.on('error', () => {}) // also one that comes when nobody waits any more
  try {
    socket.write('PING\r\n')
    const [answer] = await once(socket, 'data', { signal: AbortSignal.timeout(ANSWER_MS) }) as [Buffer]
    return /^[+-]/.test(answer.toString('latin1')) // +PONG, or -NOAUTH
  } catch {
    return false
  } finally {
    socket.destroy()
  }
}
