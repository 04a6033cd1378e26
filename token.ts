/** `npm run -s token -- <user-id> …`: prints a JWT and nothing else. USAGE has the options. */
import { parseArgs } from 'node:util'
import { loadConfig } from './config.ts'
import { isUserId, USER_ID_RULE } from './core/identity.ts'
import { developmentSecret } from './development-secret.ts'
import { readEnvironment } from './environment.ts'
import { issueToken } from './messaging/access/tokens.ts'

const USAGE =
  'usage: npm run -s token -- <user-id> [--ttl 1h] [--scope admin] [--name <display name>] [--acl <json>]'
const UNIT_SECONDS: Record<string, number> = { s: 1, m: 60, h: 3_600, d: 86_400 }

try {
  console.log(await run(process.argv.slice(2)))
} catch (error) {
  console.error((error as Error).message)
  process.exitCode = 1
}

async function run (args: string[]): Promise<string> {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      ttl: { type: 'string', default: '1h' },
      scope: { type: 'string' },
      name: { type: 'string' },
      acl: { type: 'string' }
    }
  })
  const [userId] = positionals
  if (positionals.length !== 1 || !isUserId(userId)) {
    throw new Error(`${USAGE}\na user id is ${USER_ID_RULE}`)
  }
  const config = loadConfig(readEnvironment())
  if (config.tokenKey !== undefined && config.tokenKey.kind !== 'secret') {
    throw new Error(
      'tokens are verified with a public key here: only the holder of the private key can issue them'
    )
  }
  return await issueToken({
    secret: config.tokenKey?.secret ?? await developmentSecret(config.dataDir),
    userId,
    ttlSeconds: seconds(values.ttl),
    scope: values.scope,
    name: values.name,
    acl: values.acl === undefined ? undefined : JSON.parse(values.acl),
    issuer: config.jwtIssuer,
    audience: config.jwtAudience
  })
}

function seconds (text: string): number {
  const [, amount, unit] = /^(\d+)([smhd])$/.exec(text) ?? []
  if (amount === undefined || Number(amount) === 0) {
    throw new Error(`--ttl must be a number and a unit, such as 30s, 15m, 1h or 7d, not "${text}"`)
  }
  return Number(amount) * UNIT_SECONDS[unit!]!
}
