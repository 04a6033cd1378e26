/** Environment to Config: every problem is listed at once, and nothing is read from anywhere else. */
import { judgeUnknown } from './config-near-misses.ts'
import { VARIABLES, type Values, type Variable } from './config-table.ts'
import { type TokenKey } from './messaging/access/authentication.ts'
// Types alone: the SDKs behind them are loaded when they are used.
import type { FcmTarget } from './push-bridge/fcm/sender.ts'
import type { S3Options } from './store/files/s3-files.ts'

export const ROLES = ['broker', 'api', 'push-bridge'] as const
export type Role = (typeof ROLES)[number]

/** Longer than a load balancer takes that looks each second and believes the second answer. */
const STOP_DELAY_MS = 3_000

/** Values that only mean something together. */
type Parts = 's3Endpoint' | 's3Bucket' | 's3Region' | 's3PathStyle' | 'jwtSecret' | 'jwtJwksUrl' |
  'jwtPublicKey' | 'credentialsFile' | 'fcmEndpoint' | 'tlsCert' | 'tlsKey' | 'stopDelayMs'

/** Files in PEM. */
export interface TlsFiles { cert: string, key: string }

/** Most values are the table's (config-table.ts). */
export interface Config extends Omit<Values, Parts> {
  roles: Role[]
  /** Undefined: attachments are files below dataDir. */
  s3: S3Options | undefined
  /** Undefined: a development secret below dataDir. */
  tokenKey: TokenKey | undefined
  /** Undefined: pushes are logged. */
  fcm: FcmTarget | undefined
  /** Undefined: no door speaks TLS. */
  tls: TlsFiles | undefined
  /** How long the process says that it is not ready before it stops. */
  stopDelayMs: number
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

/** What is found on the way. */
interface Findings { problems: string[], warnings: string[] }

/** Throws ConfigError. */
export function loadConfig (environment: Environment, args: string[] = []): Config {
  const findings: Findings = { problems: [], warnings: [] }
  const given =
    Object.fromEntries(Object.entries(environment).filter(([, text]) => text !== undefined && text !== ''))
  const roles = readRoles(args, findings)
  const {
    s3Endpoint, s3Bucket, s3Region, s3PathStyle, jwtSecret, jwtJwksUrl, jwtPublicKey, credentialsFile,
    fcmEndpoint, tlsCert, tlsKey, stopDelayMs, ...values
  } = readValues(given, findings)
  const tokenKey = tokenKeyOf({ jwtSecret, jwtJwksUrl, jwtPublicKey }, findings)
  const config: Config = {
    ...values,
    roles,
    s3: bucketOf({ s3Endpoint, s3Bucket, s3Region, s3PathStyle }, given, findings),
    tokenKey,
    fcm: fcmOf({ credentialsFile, fcmEndpoint }, findings),
    tls: tlsOf({ tlsCert, tlsKey }, findings),
    // Nobody balances the load of a process that makes its own secret.
    stopDelayMs: stopDelayMs ?? (tokenKey === undefined ? 0 : STOP_DELAY_MS),
    warnings: findings.warnings
  }
  checkTogether(config, findings)
  const unknown = judgeUnknown(given)
  findings.problems.push(...unknown.problems)
  findings.warnings.push(...unknown.warnings)
  if (findings.problems.length > 0) throw new ConfigError(findings.problems)
  return config
}

function readRoles (args: string[], { problems }: Findings): Role[] {
  const unknown = args.filter(arg => !(ROLES as readonly string[]).includes(arg))
  if (unknown.length > 0) problems.push(`unknown role: ${unknown.join(' ')} (known: ${ROLES.join(', ')})`)
  return args.length === 0 ? [...ROLES] : ROLES.filter(role => args.includes(role))
}

/** A value that has a problem is replaced by its default, so that the checks that follow can go on. */
function readValues (given: Environment, { problems }: Findings): Values {
  const read = ({ name, parse, default: fallback }: Variable): unknown => {
    const text = given[name]
    const refuse = (problem: string): void => { problems.push(`${name} ${problem}`) }
    return (text === undefined ? undefined : parse(text, refuse)) ??
      (fallback === undefined ? undefined : parse(fallback, refuse))
  }
  return Object.fromEntries(
    Object.entries<Variable>(VARIABLES).map(([field, variable]) => [field, read(variable)])) as Values
}

function bucketOf (
  { s3Endpoint, s3Bucket, s3Region = 'us-east-1', s3PathStyle = s3Endpoint !== undefined }:
  Pick<Values, 's3Endpoint' | 's3Bucket' | 's3Region' | 's3PathStyle'>,
  given: Environment, { problems }: Findings
): S3Options | undefined {
  if (s3Bucket !== undefined) {
    return { endpoint: s3Endpoint, region: s3Region, pathStyle: s3PathStyle, bucket: s3Bucket }
  }
  for (const { name } of [VARIABLES.s3Endpoint, VARIABLES.s3Region, VARIABLES.s3PathStyle]) {
    if (given[name] !== undefined) problems.push(`${name} needs S3_BUCKET too`)
  }
  return undefined
}

function tokenKeyOf (
  { jwtSecret, jwtJwksUrl, jwtPublicKey }: Pick<Values, 'jwtSecret' | 'jwtJwksUrl' | 'jwtPublicKey'>,
  { problems, warnings }: Findings
): TokenKey | undefined {
  if ([jwtSecret, jwtJwksUrl, jwtPublicKey].filter(value => value !== undefined).length > 1) {
    problems.push('only one of JWT_SECRET, JWT_JWKS_URL and JWT_PUBLIC_KEY may be set')
  }
  if (jwtSecret !== undefined) return { kind: 'secret', secret: jwtSecret }
  if (jwtJwksUrl !== undefined) {
    if (/^http:/.test(jwtJwksUrl)) {
      warnings.push('JWT_JWKS_URL uses http: an attacker on the way can replace the keys')
    }
    return { kind: 'jwks', url: jwtJwksUrl }
  }
  return jwtPublicKey === undefined ? undefined : { kind: 'public', pem: jwtPublicKey }
}

function fcmOf (
  { credentialsFile, fcmEndpoint }: Pick<Values, 'credentialsFile' | 'fcmEndpoint'>, { warnings }: Findings
): FcmTarget | undefined {
  if (fcmEndpoint !== undefined) {
    warnings.push('FCM_ENDPOINT is set: pushes go to a stand-in, without encryption, and reach no phone')
    return { endpoint: fcmEndpoint }
  }
  return credentialsFile === undefined ? undefined : { credentialsFile }
}

function tlsOf (
  { tlsCert, tlsKey }: Pick<Values, 'tlsCert' | 'tlsKey'>, { problems }: Findings
): TlsFiles | undefined {
  if (tlsCert !== undefined && tlsKey !== undefined) return { cert: tlsCert, key: tlsKey }
  if (tlsCert !== undefined) problems.push('TLS_CERT needs TLS_KEY too')
  if (tlsKey !== undefined) problems.push('TLS_KEY needs TLS_CERT too')
  return undefined
}

function checkTogether (config: Config, { problems, warnings }: Findings): void {
  const ports = (['httpPort', 'mqttPort', 'wsPort', 'grpcPort', 'mqttsPort'] as const)
    .map(field => ({ name: VARIABLES[field].name, value: config[field] }))
  ports.forEach(({ name, value }, i) => {
    const twin = ports.slice(0, i).find(other => other.value === value && value !== 0 && value !== undefined)
    if (twin !== undefined) problems.push(`${name} and ${twin.name} are both ${value}`)
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
  if (config.databaseUrl === undefined && config.tokenKey !== undefined) {
    warnings.push('DATABASE_URL is not set: everything is kept in an embedded database below DATA_DIR')
  }
  if (config.mqttsPort !== undefined && config.tls === undefined) {
    problems.push('MQTTS_PORT needs TLS_CERT and TLS_KEY too')
  }
  if (!['127.0.0.1', '::1', 'localhost'].includes(config.host)) {
    const doors = config.tls === undefined ? 'MQTT, HTTP and gRPC are' : 'MQTT_PORT is'
    warnings.push(`HOST=${config.host}: ${doors} reachable from outside without TLS`)
  }
}
