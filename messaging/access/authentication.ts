/**
 * Who is asking: verifies tokens and remembers the answer.
 *
 * A verification costs 200 to 400 µs, so a verified token is kept until it
 * expires, under a hash of itself. What is checked each time is what can change
 * meanwhile: the clock, and whether the user's tokens were revoked. The node hears
 * of revocations (revocations.ts); only while it does not, a user's row is read
 * once a second.
 */
import { createPublicKey, hash, webcrypto, type KeyObject } from 'node:crypto'
import { createRemoteJWKSet, errors, jwtVerify, type JWTVerifyOptions } from 'jose'
import { LRUCache } from 'lru-cache'
import { type Logger } from 'pino'
import { AppError, unavailable } from '../../core/errors.ts'
import { grantlessFilters, identityFromClaims, isRevoked, type Identity } from '../../core/identity.ts'
import { type Database } from '../../store/database.ts'
import { tokensValidAfter } from '../../store/people/users.ts'
import { createSetQueue } from '../set-queue.ts'

const MAX_REMEMBERED_TOKENS = 50_000
const MAX_REMEMBERED_USERS = 100_000
const MAX_TOKEN_LENGTH = 16_384
/** What the log shows of the filters of a token that grant nothing. */
const SHOWN_FILTERS = 5
const SHOWN_CHARACTERS = 100
/** So long a user is known without a look at the row, whether or not revocations are heard of. */
const CHECK_MS = 1_000
/** So long while revocations are heard of: whoever is concerned is forgotten. */
const MAX_AGE_MS = 60_000
/** Revocations were heard of when those up to this long ago have been applied. */
const HEARD_WITHIN_MS = 1_500
/** What took longer to read may be older than a revocation that was applied meanwhile. */
const MAX_READ_MS = 5_000

export type TokenKey =
  | { kind: 'secret', secret: Uint8Array }
  | { kind: 'public', pem: string }
  | { kind: 'jwks', url: string }

export interface AuthenticationOptions { key: TokenKey, issuer?: string, audience?: string }

export interface Authentication {
  /** Throws `unauthenticated` for a token that does not hold, `unavailable` when that cannot be told now. */
  authenticate (token: string): Promise<Identity>
  /** The next token of the user is checked against the database. */
  forget (userId: string): void
  /** Users whose tokens were revoked before this time (of `performance.now()`) have been forgotten. */
  heardUntil (at: number): void
  /** Users who are known without a look at their row. */
  remembered (): number
}

/** Of a key set that did not come or is none: this says nothing of the token. */
const NO_KEYS: ReadonlySet<string> = new Set(['ERR_JWKS_TIMEOUT', 'ERR_JWKS_INVALID', 'ERR_JOSE_GENERIC'])

interface RememberedUser { name: string | undefined, validAfter: Date | undefined, checkedAt: number }

export interface AuthenticationDeps {
  database: Database
  /** Sees to it that the user exists, and has the token's name where it counts. */
  meet: (identity: Identity) => Promise<void>
  log: Logger
  /** The time that all nodes go by, in milliseconds since 1970. */
  now: () => number
}

export function createAuthentication (
  { key, issuer, audience }: AuthenticationOptions, { database, meet, log, now: time }: AuthenticationDeps
): Authentication {
  const verify = verifier(key, { issuer, audience, requiredClaims: ['sub', 'exp'] }, time)
  const tokens = new LRUCache<string, Identity>({ max: MAX_REMEMBERED_TOKENS })
  const users = new LRUCache<string, RememberedUser>({ max: MAX_REMEMBERED_USERS })
  let heardAt = -Infinity
  const validAfters = createSetQueue<string, Date | undefined>({
    run: userIds => tokensValidAfter(database.opening, userIds)
  })

  async function readToken (token: string): Promise<Identity> {
    if (token === '' || token.length > MAX_TOKEN_LENGTH) throw refused('a token is required')
    const digest = hash('sha256', token, 'base64url')
    const known = tokens.get(digest)
    if (known !== undefined) {
      if (known.expiresAt * 1000 > time()) return known
      tokens.delete(digest)
      throw refused('the token has expired')
    }
    const claims = await verify(token)
    const identity = identityFromClaims(claims)
    // Nothing else tells: its devices only find their filters refused.
    const grantless = grantlessFilters(claims)
    if (grantless.length > 0 && !tokens.has(digest)) {
      log.warn(
        { user_id: identity.userId, filters: shown(grantless) }, 'filters in the acl of a token grant nothing'
      )
    }
    tokens.set(digest, identity)
    return identity
  }

  // A user exists from the first time Echo sees them. The remembered name is that of the latest token, which
  // may differ from the user's.
  async function lookUp (identity: Identity): Promise<RememberedUser> {
    const { userId, name } = identity
    const known = users.get(userId)
    const sameName = known !== undefined && (name === undefined || name === known.name)
    const now = performance.now()
    const trustedMs = now - heardAt < HEARD_WITHIN_MS ? MAX_AGE_MS : CHECK_MS
    if (sameName && now - known.checkedAt < trustedMs) return known
    const validAfter = await validAfters.run(userId)
    // A refused token changes nothing, not even a name.
    const refused = validAfter !== undefined && isRevoked(identity, validAfter)
    if (!sameName && !refused) await meet(identity)
    const user = { name: refused ? known?.name : name ?? known?.name, validAfter, checkedAt: now }
    if (performance.now() - now < MAX_READ_MS) users.set(userId, user)
    return user
  }

  return {
    async authenticate (token) {
      const identity = await readToken(token)
      const { validAfter } = await lookUp(identity)
      if (validAfter !== undefined && isRevoked(identity, validAfter)) throw refused('the token was revoked')
      return identity
    },
    forget (userId) { users.delete(userId) },
    heardUntil (at) { heardAt = at },
    remembered: () => users.size
  }
}

function verifier (
  key: TokenKey, options: JWTVerifyOptions, now: () => number
): (token: string) => Promise<Record<string, unknown>> {
  const check = chooseKey(key, () => ({ ...options, currentDate: new Date(now()) }))
  return async token => {
    try {
      return (await check(token)).payload
    } catch (error) {
      if (error instanceof errors.JWTExpired) throw refused('the token has expired')
      if (error instanceof errors.JWTClaimValidationFailed) {
        throw refused(`the claim \`${error.claim}\` is missing or wrong`)
      }
      if (error instanceof errors.JOSEError && !NO_KEYS.has(error.code)) {
        throw refused('the token is not valid')
      }
      throw unavailable('the keys that verify tokens cannot be fetched', error)
    }
  }
}

// The algorithms are fixed by the type of the key, never taken from the token.
function chooseKey (key: TokenKey, options: () => JWTVerifyOptions) {
  switch (key.kind) {
    case 'secret': {
      // Imported once: jose would import a raw secret again for each token, a third of the work.
      const keys = new Map<string, Promise<webcrypto.CryptoKey>>()
      const keyFor = (alg: string): Promise<webcrypto.CryptoKey> => {
        const imported = keys.get(alg) ?? importHmacKey(key.secret, `SHA-${alg.slice(2)}`)
        keys.set(alg, imported)
        return imported
      }
      return (token: string) => jwtVerify(
        token, ({ alg }) => keyFor(alg), { ...options(), algorithms: ['HS256', 'HS384', 'HS512'] }
      )
    }
    case 'public': {
      const publicKey = createPublicKey(key.pem)
      return (token: string) =>
        jwtVerify(token, publicKey, { ...options(), algorithms: algorithmsFor(publicKey) })
    }
    case 'jwks': {
      const keys = createRemoteJWKSet(new URL(key.url))
      return (token: string) => jwtVerify(token, keys, {
        ...options(),
        algorithms: [
          'RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA', 'Ed25519'
        ]
      })
    }
  }
}

const importHmacKey = async (secret: Uint8Array, hash: string): Promise<webcrypto.CryptoKey> =>
  await webcrypto.subtle.importKey('raw', secret, { name: 'HMAC', hash }, false, ['verify'])

function algorithmsFor (key: KeyObject): string[] {
  switch (key.asymmetricKeyType) {
    case 'rsa': return ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512']
    case 'ec': return ['ES256', 'ES384', 'ES512']
    case 'ed25519': return ['EdDSA', 'Ed25519']
    default: throw new Error(`JWT_PUBLIC_KEY: a key of type ${key.asymmetricKeyType} cannot verify tokens`)
  }
}

const shown = (filters: unknown[]): string[] => filters.slice(0, SHOWN_FILTERS)
  .map(filter => typeof filter === 'string' ? filter.slice(0, SHOWN_CHARACTERS) : `a ${typeof filter}`)

const refused = (detail: string): AppError => new AppError('unauthenticated', 'invalid_token', detail)
