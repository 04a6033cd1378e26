/** Names that are meant for Echo and that it does not read: passed over, they would cost the first hour. */
import { OURS, VARIABLES } from './config-table.ts'

/** What other products call it. The address parts (…_HOST) are no URL: their refusal says which one is. */
const OTHER_WORDS: Record<string, string> = {
  PORT: 'HTTP_PORT',
  LISTEN_HOST: 'HOST',
  BIND_ADDRESS: 'HOST',
  DATABASE_HOST: 'DATABASE_URL',
  DB_HOST: 'DATABASE_URL',
  DB_URL: 'DATABASE_URL',
  DATABASE_DSN: 'DATABASE_URL',
  POSTGRES_URL: 'DATABASE_URL',
  POSTGRESQL_URL: 'DATABASE_URL',
  PG_URL: 'DATABASE_URL',
  REDIS_HOST: 'REDIS_URL',
  JWT_KEY: 'JWT_SECRET',
  JWT_SECRET_KEY: 'JWT_SECRET',
  JWKS_URL: 'JWT_JWKS_URL',
  ALLOWED_ORIGINS: 'WS_ALLOWED_ORIGINS',
  CORS_ORIGIN: 'CORS_ORIGINS',
  CORS_ALLOWED_ORIGINS: 'CORS_ORIGINS'
}

/** What grpc-js reads itself. */
const OF_GRPC = /^GRPC_(TRACE|VERBOSITY|NODE_|SSL_|DEFAULT_SSL_|EXPERIMENTAL_)/

/** DATABASE_URI, LOGLEVEL and log_level are one of ours, spelled otherwise. */
const spelled = (name: string): string => name.toUpperCase().replace(/URI$/, 'URL').replaceAll('_', '')

const known = new Set<string>(Object.values(VARIABLES).map(({ name }) => name))
const bySpelling = new Map([...[...known].map(name => [name, name] as const), ...Object.entries(OTHER_WORDS)]
  .map(([name, meant]) => [spelled(name), meant]))

export interface UnknownNames { problems: string[], warnings: string[] }

/**
 * A near miss is a problem, unless the name that was meant is set too: a hosting platform may set PORT by
 * itself, and HTTP_PORT then says what it is for.
 */
export function judgeUnknown (given: Record<string, string | undefined>): UnknownNames {
  const problems: string[] = []
  const warnings: string[] = []
  for (const name of Object.keys(given)) {
    if (known.has(name)) continue
    const meant = bySpelling.get(spelled(name))
    if (meant !== undefined) {
      if (given[meant] === undefined) problems.push(`${name} is not a variable of Echo: ${meant} is meant`)
    } else if (OURS.test(name) && !OF_GRPC.test(name)) {
      warnings.push(`${name} is not a variable of Echo`)
    }
  }
  return { problems, warnings }
}
