/** Environment to Config: every problem is listed at once, and nothing is read from anywhere else. */
import { resolve } from 'node:path'
import { type TokenKey } from './messaging/access/authentication.ts'
import { type FcmTarget } from './push-bridge/fcm/sender.ts'
import { type PushPrivacy } from './push-bridge/render.ts'
import { type S3Options } from './store/files/s3-files.ts'

export const ROLES = ['broker', 'api', 'push-bridge'] as const
export type Role = (typeof ROLES)[number]

export interface Config {
  roles: Role[]
  host: string
  httpPort: number
  mqttPort: number
  wsPort: number
  dataDir: string
  /** Undefined: attachments are files below dataDir. */
  s3: S3Options | undefined
  /** Undefined: the embedded database. */
  databaseUrl: string | undefined
  /** Undefined: this process is alone, and its state is in memory. */
  redisUrl: string | undefined
  /** Undefined: a development secret below dataDir. */
  tokenKey: TokenKey | undefined
  jwtIssuer: string | undefined
  jwtAudience: string | undefined
  pushGraceMs: number
  /** Nobody is woken for what is older. */
  pushExpireMs: number
  pushPrivacy: PushPrivacy
  /** Undefined: pushes are logged. */
  fcm: FcmTarget | undefined
  /** Messages per user and second over REST, commands over MQTT; 0: no limit. */
  rateLimitSends: number
  /** Requests per user and second over REST; 0: no limit, also none per address. */
  rateLimitRequests: number
  /** X-Forwarded-For of the proxy in front is believed. */
  trustProxy: boolean
  /** MQTT over TCP comes through a balancer that sends PROXY headers. */
  proxyProtocol: boolean
  logLevel: string
  /** What a person should know at start: unknown variables, insecure settings. */
  warnings: string[]
}

export class ConfigError extends Error {
  readonly problems: string[]
  constructor (problems: string[]) {
    super(`the configuration is wrong:\n${problems.map(problem => `  ${problem}`).join('\n')}`)
    this.name = 'ConfigError'
    this.problems = problems
  }
}

type Environment = Record<string, string | undefined>

const KNOWN = new Set([
  'HOST', 'HTTP_PORT', 'MQTT_PORT', 'WS_PORT', 'DATA_DIR', 'DATABASE_URL', 'REDIS_URL', 'JWT_SECRET', 'JWT_JWKS_URL', 'JWT_PUBLIC_KEY',
  'JWT_ISSUER', 'JWT_AUDIENCE', 'PUSH_GRACE_MS', 'PUSH_EXPIRE_MS', 'PUSH_PRIVACY',
  'GOOGLE_APPLICATION_CREDENTIALS', 'FCM_ENDPOINT', 'RATE_LIMIT_SENDS', 'RATE_LIMIT_REQUESTS', 'TRUST_PROXY', 'PROXY_PROTOCOL', 'LOG_LEVEL',
  'S3_ENDPOINT', 'S3_BUCKET', 'S3_REGION', 'S3_PATH_STYLE'
])
/** Named in the contract for parts that this version does not have. */
const NOT_YET = new Set([
  'GRPC_PORT', 'MQTTS_PORT', 'TLS_CERT', 'TLS_KEY'
])
const OURS = /^(MQTTS?|WS|JWT|PUSH|RATE_LIMIT|FCM|S3)_/
const SWITCH: Record<string, boolean> = { on: true, true: true, 1: true, off: false, false: false, 0: false }
const LOG_LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent']
const MIN_SECRET_BYTES = 32
/** FCM keeps a push for 28 days at most. */
const MAX_PUSH_EXPIRE_MS = 28 * 86_400_000

/** Throws ConfigError. */
export function loadConfig (environment: Environment, args: string[] = []): Config {
  const problems: string[] = []
  const warnings: string[] = []
  const read = (name: string): string | undefined => environment[name] === '' ? undefined : environment[name]

  const config: Config = {
    roles: readRoles(args, problems),
    host: read('HOST') ?? '127.0.0.1',
    httpPort: port('HTTP_PORT', 8080),
    mqttPort: port('MQTT_PORT', 1883),
    wsPort: port('WS_PORT', 8083),
    dataDir: resolve(read('DATA_DIR') ?? 'data'),
    s3: s3(),
    databaseUrl: url('DATABASE_URL', ['postgres:', 'postgresql:']),
    redisUrl: url('REDIS_URL', ['redis:', 'rediss:']),
    tokenKey: tokenKey(),
    jwtIssuer: read('JWT_ISSUER'),
    jwtAudience: read('JWT_AUDIENCE'),
    pushGraceMs: integer('PUSH_GRACE_MS', 10_000, 0, 3_600_000),
    pushExpireMs: integer('PUSH_EXPIRE_MS', 86_400_000, 1_000, MAX_PUSH_EXPIRE_MS),
    pushPrivacy: pushPrivacy(),
    fcm: fcm(),
    rateLimitSends: integer('RATE_LIMIT_SENDS', 30, 0, 1_000_000),
    rateLimitRequests: integer('RATE_LIMIT_REQUESTS', 100, 0, 1_000_000),
    trustProxy: onOrOff('TRUST_PROXY'),
    proxyProtocol: onOrOff('PROXY_PROTOCOL'),
    logLevel: logLevel(),
    warnings
  }
  checkTogether()
  warnAboutUnknown()
  if (problems.length > 0) throw new ConfigError(problems)
  return config

  function integer (name: string, fallback: number, min: number, max: number): number {
    const text = read(name)
    if (text === undefined) return fallback
    const value = Number(text)
    if (/^\d+$/.test(text) && value >= min && value <= max) return value
    problems.push(`${name} must be a whole number from ${min} to ${max}, not "${text}"`)
    return fallback
  }

  function port (name: string, fallback: number): number {
    return integer(name, fallback, 0, 65_535)
  }

  function onOrOff (name: string, fallback = 'off'): boolean {
    const text = read(name)?.toLowerCase() ?? fallback
    if (Object.hasOwn(SWITCH, text)) return SWITCH[text]!
    problems.push(`${name} must be on or off, not "${text}"`)
    return false
  }

  function url (name: string, schemes: string[]): string | undefined {
    const text = read(name)
    if (text !== undefined && !schemes.some(scheme => text.startsWith(`${scheme}//`))) {
      problems.push(`${name} must begin with ${schemes.map(scheme => `${scheme}//`).join(' or ')}`)
    }
    return text
  }

  function s3 (): S3Options | undefined {
    const endpoint = url('S3_ENDPOINT', ['http:', 'https:'])
    const bucket = read('S3_BUCKET')
    const options = {
      endpoint,
      region: read('S3_REGION') ?? 'us-east-1',
      pathStyle: onOrOff('S3_PATH_STYLE', endpoint === undefined ? 'off' : 'on')
    }
    if (bucket !== undefined) return { ...options, bucket }
    for (const name of ['S3_ENDPOINT', 'S3_REGION', 'S3_PATH_STYLE']) {
      if (read(name) !== undefined) problems.push(`${name} needs S3_BUCKET too`)
    }
    return undefined
  }

  function tokenKey (): TokenKey | undefined {
    const secret = read('JWT_SECRET')
    const url = read('JWT_JWKS_URL')
    const pem = read('JWT_PUBLIC_KEY')
    if ([secret, url, pem].filter(value => value !== undefined).length > 1) {
      problems.push('only one of JWT_SECRET, JWT_JWKS_URL and JWT_PUBLIC_KEY may be set')
    }
    if (secret !== undefined) {
      if (Buffer.byteLength(secret) < MIN_SECRET_BYTES) {
        problems.push(`JWT_SECRET must have at least ${MIN_SECRET_BYTES} bytes`)
      }
      return { kind: 'secret', secret: new TextEncoder().encode(secret) }
    }
    if (url !== undefined) {
      if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol)) {
        problems.push('JWT_JWKS_URL must be an http or https URL')
      }
      if (/^http:/.test(url)) {
        warnings.push('JWT_JWKS_URL uses http: whoever sits between can replace the keys')
      }
      return { kind: 'jwks', url }
    }
    if (pem !== undefined) {
      if (!pem.includes('-----BEGIN PUBLIC KEY-----')) {
        problems.push('JWT_PUBLIC_KEY must be a public key in PEM (SPKI)')
      }
      return { kind: 'public', pem: pem.replaceAll('\\n', '\n') }
    }
    return undefined
  }

  function pushPrivacy (): PushPrivacy {
    const text = read('PUSH_PRIVACY') ?? 'preview'
    if (text === 'preview' || text === 'content-free') return text
    problems.push(`PUSH_PRIVACY must be preview or content-free, not "${text}"`)
    return 'content-free'
  }

  function fcm (): FcmTarget | undefined {
    const endpoint = read('FCM_ENDPOINT')
    const credentialsFile = read('GOOGLE_APPLICATION_CREDENTIALS')
    if (endpoint === undefined) {
      return credentialsFile === undefined ? undefined : { credentialsFile: resolve(credentialsFile) }
    }
    if (!URL.canParse(endpoint) || new URL(endpoint).protocol !== 'http:') {
      problems.push('FCM_ENDPOINT must be the http:// URL of a stand-in for FCM')
    }
    warnings.push('FCM_ENDPOINT is set: pushes go to a stand-in, without encryption, and reach no phone')
    return { endpoint }
  }

  function logLevel (): string {
    const level = read('LOG_LEVEL') ?? 'info'
    if (!LOG_LEVELS.includes(level)) problems.push(`LOG_LEVEL must be one of ${LOG_LEVELS.join(', ')}`)
    return level
  }

  function checkTogether (): void {
    const ports =
      [['HTTP_PORT', config.httpPort], ['MQTT_PORT', config.mqttPort], ['WS_PORT', config.wsPort]] as const
    ports.forEach(([name, value], i) => {
      const twin = ports.slice(0, i).find(([, other]) => other === value && value !== 0)
      if (twin !== undefined) problems.push(`${name} and ${twin[0]} are both ${value}`)
    })
    if (config.databaseUrl !== undefined && config.tokenKey === undefined) {
      problems.push(
        'with DATABASE_URL, one of JWT_SECRET, JWT_JWKS_URL and JWT_PUBLIC_KEY must say how tokens are verified'
      )
    }
    if (config.databaseUrl === undefined && config.redisUrl !== undefined) {
      problems.push('REDIS_URL is for several processes, which need a DATABASE_URL too')
    }
    if (config.roles.length < ROLES.length &&
      (config.databaseUrl === undefined || config.redisUrl === undefined)) {
      problems.push('roles in separate processes need DATABASE_URL and REDIS_URL')
    }
    if (config.redisUrl !== undefined && config.roles.includes('api') && config.s3 === undefined) {
      warnings.push(
        'attachments are below DATA_DIR: with several api processes they must share that folder, or use S3_ENDPOINT'
      )
    }
    if (config.databaseUrl === undefined && config.tokenKey === undefined) {
      warnings.push('tokens are signed with a generated development secret')
    }
    if (!['127.0.0.1', '::1', 'localhost'].includes(config.host)) {
      warnings.push(`HOST=${config.host}: MQTT and HTTP are reachable from outside without TLS`)
    }
  }

  function warnAboutUnknown (): void {
    for (const name of Object.keys(environment)) {
      if (KNOWN.has(name) || read(name) === undefined) continue
      if (NOT_YET.has(name)) warnings.push(`${name} has no effect in this version`)
      else if (OURS.test(name)) warnings.push(`${name} is not a variable of Echo`)
    }
  }
}

function readRoles (args: string[], problems: string[]): Role[] {
  const unknown = args.filter(arg => !(ROLES as readonly string[]).includes(arg))
  if (unknown.length > 0) problems.push(`unknown role: ${unknown.join(' ')} (known: ${ROLES.join(', ')})`)
  return args.length === 0 ? [...ROLES] : ROLES.filter(role => args.includes(role))
}
