/** The user a verified token speaks for: its claims in the shape the doors use. */
import { invalid, AppError } from './errors.ts'
import { isTopicFilter } from './topics.ts'

/**
 * A user id has neither `/` nor a space: one of these stands between it and other parts in topics, keys and
 * client ids. `+` and `#` are wildcards of MQTT.
 */
export const USER_ID_PATTERN = '^[A-Za-z0-9_.:|@-]{1,64}$'
export const USER_ID_RULE = '1 to 64 of A-Z a-z 0-9 _ . : | @ -'

const USER_ID = new RegExp(USER_ID_PATTERN)
const MAX_NAME_LENGTH = 200

/** Extra MQTT topic filters of IoT-style devices, already cleaned of unsafe ones. */
export interface TopicGrants { pub: string[], sub: string[] }

export interface Identity {
  userId: string
  name: string | undefined
  admin: boolean
  acl: TopicGrants | undefined
  /** Seconds since 1970; undefined when the token does not say. */
  issuedAt: number | undefined
  /** Seconds since 1970. */
  expiresAt: number
}

export const isUserId = (value: unknown): value is string => typeof value === 'string' && USER_ID.test(value)

export function requireUserId (value: string): string {
  if (!isUserId(value)) {
    throw invalid('invalid_user_id', `a user id is ${USER_ID_RULE}`)
  }
  return value
}

/**
 * Reads the claims of a token whose signature and dates are already verified.
 * Throws `unauthenticated` when `sub` is no user id or a claim has the wrong type.
 */
export function identityFromClaims (claims: Record<string, unknown>): Identity {
  if (!isUserId(claims.sub)) {
    throw refused(`\`sub\` must be a user id: ${USER_ID_RULE}`)
  }
  if (typeof claims.exp !== 'number') throw refused('`exp` is required')
  return {
    userId: claims.sub,
    name: readName(claims.name),
    admin: readScopes(claims.scope).includes('admin'),
    acl: readGrants(claims.acl),
    issuedAt: typeof claims.iat === 'number' ? claims.iat : undefined,
    expiresAt: claims.exp
  }
}

/**
 * A revocation holds for tokens without `iat`, and for those issued up to its second: `iat` counts seconds.
 */
export function isRevoked ({ issuedAt }: Pick<Identity, 'issuedAt'>, validAfter: Date): boolean {
  return issuedAt === undefined || Math.floor(issuedAt) <= Math.floor(validAfter.getTime() / 1000)
}

/**
 * Control characters, and characters that turn the direction of the text around them, with which one name can
 * look like another. The marks U+200E and U+200F turn nothing: names in Arabic and Hebrew need them.
 */
const UNSEEN = /[\p{Cc}\u202A-\u202E\u2066-\u2069]/gu

/** Of a name or a title that others read. Throws `invalid`. */
export function checkName (text: string, field: string): void {
  if (text.search(UNSEEN) === -1) return
  throw invalid(
    'invalid_text', `${field} must not contain control characters, nor characters that turn its direction`
  )
}

// Nobody is there to whom it could be refused.
function readName (value: unknown): string | undefined {
  if (value === undefined || value === null) return undefined
  if (typeof value !== 'string') throw refused('`name` must be a string')
  const name = value.replace(UNSEEN, '').toWellFormed().trim()
  return name === '' ? undefined : [...name].slice(0, MAX_NAME_LENGTH).join('')
}

function readScopes (value: unknown): string[] {
  if (typeof value === 'string') return value.split(' ')
  return Array.isArray(value) ? value.filter(scope => typeof scope === 'string') : []
}

function readGrants (value: unknown): TopicGrants | undefined {
  if (value === undefined || value === null) return undefined
  if (typeof value !== 'object') throw refused('`acl` must be {"pub": [...], "sub": [...]}')
  const { pub, sub } = value as { pub?: unknown, sub?: unknown }
  const grants = { pub: readFilters(pub), sub: readFilters(sub) }
  return grants.pub.length + grants.sub.length === 0 ? undefined : grants
}

/** What the `acl` of a token names in vain, for the one who issues tokens: filters that grant nothing. */
export function grantlessFilters ({ acl }: Record<string, unknown>): unknown[] {
  const { pub, sub } = (acl ?? {}) as { pub?: unknown, sub?: unknown }
  return [pub, sub].flatMap(filters =>
    Array.isArray(filters) ? filters.filter(filter => !isGrant(filter)) : filters ?? [])
}

const readFilters = (value: unknown): string[] => Array.isArray(value) ? value.filter(isGrant) : []

// A grant that could match a user's topics or the broker's own would open
// another user's inbox, so it grants nothing.
const isGrant = (filter: unknown): filter is string => typeof filter === 'string' && isTopicFilter(filter) &&
  !/^([#+]|\$|user(\/|$))/.test(filter)

const refused = (detail: string): AppError => new AppError('unauthenticated', 'invalid_token', detail)
