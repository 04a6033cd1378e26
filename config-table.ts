/**
 * Every environment variable, a row each. Config, the names it knows, `.env.example` and the reference in
 * docs/operations.md come from here: after a change, run `npm run config:docs`.
 */
import {
  either, integer, keySetUrl, logLevel, onOrOff, origins, path, port, publicKey, standInUrl, text,
  tokenSecret, url, type Parser
} from './config-parsers.ts'

export interface Variable<T = unknown> {
  name: string
  parse: Parser<T>
  /** As it would stand in the environment; absent: the variable has no value when it is not set. */
  default?: string
  /** For a variable without a default: a value that shows its form. */
  example?: string
  /** Never shown, and never given a default. */
  secret?: true
  /** What it means, in whole sentences, for those who run Echo. */
  doc: string
}

/** FCM keeps a push for 28 days at most. */
const MAX_PUSH_EXPIRE_MS = 28 * 86_400_000
const MAX_RATE = 1_000_000
const MAX_STOP_DELAY_MS = 600_000

/** By the name of its value. */
export const VARIABLES = {
  host: { name: 'HOST', parse: text, default: '127.0.0.1', doc: 'Address of every listener.' },
  httpPort: {
    name: 'HTTP_PORT',
    parse: port,
    default: '8080',
    doc: 'Port of REST, /health, /ready and /metrics. For this and the other ports, 0 means any free one; ' +
      'it is printed at start.'
  },
  mqttPort: { name: 'MQTT_PORT', parse: port, default: '1883', doc: 'Port of MQTT over TCP.' },
  wsPort: {
    name: 'WS_PORT', parse: port, default: '8083', doc: 'Port of WebSocket: MQTT at /mqtt, JSON at /ws.'
  },
  grpcPort: { name: 'GRPC_PORT', parse: port, default: '50051', doc: 'Port of gRPC.' },
  mqttsPort: {
    name: 'MQTTS_PORT',
    parse: port,
    example: '8883',
    doc: 'Port of MQTT over TLS; needs TLS_CERT and TLS_KEY.'
  },
  tlsCert: {
    name: 'TLS_CERT',
    parse: path,
    example: '/etc/echo/fullchain.pem',
    doc: 'File with the certificate and those between it and the root (PEM). With TLS_KEY, the ports of REST, ' +
      'WebSocket and gRPC speak TLS; MQTT_PORT stays without it.'
  },
  tlsKey: {
    name: 'TLS_KEY', parse: path, example: '/etc/echo/privkey.pem', doc: 'File with the key of TLS_CERT (PEM).'
  },
  wsAllowedOrigins: {
    name: 'WS_ALLOWED_ORIGINS',
    parse: origins,
    example: 'https://app.example.com,https://admin.example.com',
    doc: 'Origins of pages that may open a WebSocket, separated by commas; `*` means any. By default pages of the ' +
      'same host name, and clients that are no browsers and send no Origin.'
  },
  corsOrigins: {
    name: 'CORS_ORIGINS',
    parse: origins,
    example: 'https://app.example.com,capacitor://localhost',
    doc: 'Origins of pages that may use the REST API, separated by commas; `*` means any. By default none but ' +
      'pages that Echo\'s own address serves.'
  },
  dataDir: {
    name: 'DATA_DIR',
    parse: path,
    default: './data',
    doc: 'Folder of the embedded database, the generated development secret (mode 0600) and attachments.'
  },
  databaseUrl: {
    name: 'DATABASE_URL',
    parse: url('postgres:', 'postgresql:'),
    example: 'postgres://echo:password@localhost:5432/echo',
    secret: true,
    doc: 'PostgreSQL 15 or newer. Without it, Echo starts an embedded one below DATA_DIR.'
  },
  redisUrl: {
    name: 'REDIS_URL',
    parse: url('redis:', 'rediss:'),
    example: 'redis://localhost:6379',
    secret: true,
    doc: 'Redis 7 or newer, for several processes; needs DATABASE_URL too. Without it, Echo is one process ' +
      'and keeps in memory what it needs.'
  },
  s3Endpoint: {
    name: 'S3_ENDPOINT',
    parse: url('http:', 'https:'),
    example: 'http://localhost:9000',
    doc: 'Server of the bucket, when it is another one than AWS that speaks S3.'
  },
  s3Bucket: {
    name: 'S3_BUCKET',
    parse: text,
    example: 'echo',
    doc: 'Bucket for attachments. Without it, they are files below DATA_DIR, which several api processes must ' +
      'share. The AWS SDK finds the credentials.'
  },
  s3Region: {
    name: 'S3_REGION', parse: text, example: 'us-east-1', doc: 'Region of the bucket, by default us-east-1.'
  },
  s3PathStyle: {
    name: 'S3_PATH_STYLE',
    parse: onOrOff,
    example: 'on',
    doc: 'Address of the bucket: host/bucket/key when on, bucket.host/key when off. By default on with ' +
      'S3_ENDPOINT and off without.'
  },
  jwtSecret: {
    name: 'JWT_SECRET',
    parse: tokenSecret,
    example: 'at-least-32-bytes-that-cannot-be-guessed',
    secret: true,
    doc: 'Tokens are verified with this secret (HS256, HS384, HS512). With DATABASE_URL, exactly one of ' +
      'JWT_SECRET, JWT_JWKS_URL and JWT_PUBLIC_KEY is required. Without DATABASE_URL and these three, Echo ' +
      'generates a development secret.'
  },
  jwtJwksUrl: {
    name: 'JWT_JWKS_URL',
    parse: keySetUrl,
    example: 'https://id.example.com/.well-known/jwks.json',
    doc: 'Tokens are verified with the keys at this URL (RSA, EC, Ed25519).'
  },
  jwtPublicKey: {
    name: 'JWT_PUBLIC_KEY',
    parse: publicKey,
    example: '"-----BEGIN PUBLIC KEY-----\\n...\\n-----END PUBLIC KEY-----"',
    doc: 'Tokens are verified with this key (SPKI in PEM); its type fixes the algorithms.'
  },
  jwtIssuer: {
    name: 'JWT_ISSUER',
    parse: text,
    example: 'https://id.example.com/',
    doc: 'When set, `iss` of a token must be this.'
  },
  jwtAudience: {
    name: 'JWT_AUDIENCE', parse: text, example: 'echo', doc: 'When set, `aud` of a token must have this.'
  },
  pushGraceMs: {
    name: 'PUSH_GRACE_MS',
    parse: integer(0, 3_600_000),
    default: '10000',
    doc: 'A connected device has so many milliseconds to acknowledge; then its user\'s phones are woken.'
  },
  pushExpireMs: {
    name: 'PUSH_EXPIRE_MS',
    parse: integer(1_000, MAX_PUSH_EXPIRE_MS),
    default: '86400000',
    doc: 'A message older than so many milliseconds wakes no phone (24 hours).'
  },
  pushPrivacy: {
    name: 'PUSH_PRIVACY',
    parse: either('preview', 'content-free'),
    default: 'preview',
    doc: 'What a notification shows, and so what Google and Apple can read: `preview` (names and the beginning ' +
      'of the message) or `content-free` ("New message").'
  },
  credentialsFile: {
    name: 'GOOGLE_APPLICATION_CREDENTIALS',
    parse: path,
    example: '/etc/echo/service-account.json',
    doc: 'Service account file of the Firebase project, for real pushes. Without it and FCM_ENDPOINT, each push ' +
      'is a log line.'
  },
  fcmEndpoint: {
    name: 'FCM_ENDPOINT',
    parse: standInUrl,
    example: 'http://127.0.0.1:9099',
    doc: 'URL of a stand-in for FCM (`npm run fake-fcm`); it wins over GOOGLE_APPLICATION_CREDENTIALS.'
  },
  rateLimitSends: {
    name: 'RATE_LIMIT_SENDS',
    parse: integer(0, MAX_RATE),
    default: '30',
    doc: 'Messages of a user per second; 0 means no limit. More are refused with 429 over REST, and wait their ' +
      'turn over MQTT, where all commands count.'
  },
  rateLimitRequests: {
    name: 'RATE_LIMIT_REQUESTS',
    parse: integer(0, MAX_RATE),
    default: '100',
    doc:
      'REST requests of a user per second; more are refused with 429. 0 means no limit, also none per address.'
  },
  trustProxy: {
    name: 'TRUST_PROXY',
    parse: onOrOff,
    default: 'off',
    doc: 'Behind a load balancer: Echo believes the entry that it added to X-Forwarded-For, so that limits per ' +
      'address see the client. Only the balancer may then reach the ports.'
  },
  proxyProtocol: {
    name: 'PROXY_PROTOCOL',
    parse: onOrOff,
    default: 'off',
    doc: 'Behind a load balancer: MQTT over TCP begins with the PROXY protocol (1 or 2). Only the balancer may ' +
      'then reach the port.'
  },
  stopDelayMs: {
    name: 'STOP_DELAY_MS',
    parse: integer(0, MAX_STOP_DELAY_MS),
    example: '3000',
    doc: 'After SIGTERM or Ctrl-C, /ready is 503 for so many milliseconds before anything closes, so that a load ' +
      'balancer looks elsewhere first; a second signal ends the wait. By default 3000, and 0 where tokens are ' +
      'signed with the generated secret.'
  },
  logLevel: {
    name: 'LOG_LEVEL',
    parse: logLevel,
    default: 'info',
    doc: '`fatal`, `error`, `warn`, `info`, `debug`, `trace` or `silent`.'
  }
} satisfies Record<string, Variable>

/** Read by the AWS SDK. */
export const READ_ELSEWHERE: Array<Pick<Variable, 'name' | 'secret' | 'doc'>> = [
  { name: 'AWS_ACCESS_KEY_ID', doc: 'Credentials of the bucket, unless the AWS SDK finds them elsewhere.' },
  { name: 'AWS_SECRET_ACCESS_KEY', secret: true, doc: 'The secret of AWS_ACCESS_KEY_ID.' }
]

/** A name that begins so and is none of these is a mistake. */
export const OURS = /^(MQTTS?|WS|CORS|GRPC|TLS|JWT|PUSH|RATE_LIMIT|FCM|S3|STOP)_/

type ValueOf<V> = V extends { parse: Parser<infer T> }
  ? V extends { default: string } ? T : T | undefined
  : never

export type Values = { [Field in keyof typeof VARIABLES]: ValueOf<(typeof VARIABLES)[Field]> }
