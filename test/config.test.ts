/** Environment to Config, and the table of variables to the files that are made from it. */
import { readFile } from 'node:fs/promises'
import { parseEnv } from 'node:util'
import { expect, test } from 'vitest'
import { ConfigError, loadConfig } from '../config.ts'
import { VARIABLES, type Variable } from '../config-table.ts'
import { GENERATED, upToDate } from '../tools/config-docs.ts'

const variables = Object.values<Variable>(VARIABLES)

test('switches are on or off, in the usual words', () => {
  const words = { on: true, ON: true, true: true, 1: true, off: false, false: false, 0: false, '': false }
  for (const [word, value] of Object.entries(words)) {
    const config = loadConfig({ PROXY_PROTOCOL: word, TRUST_PROXY: word })
    expect([word, config.proxyProtocol, config.trustProxy]).toEqual([word, value, value])
  }
  expect(loadConfig({})).toMatchObject({
    proxyProtocol: false, trustProxy: false, rateLimitSends: 30, rateLimitRequests: 100
  })
})

test('a switch or a rate that is neither is named, with every other problem', () => {
  const wrong = {
    PROXY_PROTOCOL: 'yes',
    TRUST_PROXY: 'constructor',
    RATE_LIMIT_SENDS: '-1',
    RATE_LIMIT_REQUESTS: '1/s',
    MQTT_PORT: 'x'
  }
  try {
    loadConfig(wrong)
    expect.unreachable()
  } catch (error) {
    expect(error).toBeInstanceOf(ConfigError)
    expect((error as ConfigError).problems.map(problem => problem.split(' ')[0])).toEqual(
      expect.arrayContaining(Object.keys(wrong))
    )
  }
})

test('the limits have an effect: nothing warns that they have none', () => {
  expect(loadConfig({
    PROXY_PROTOCOL: 'on', TRUST_PROXY: 'on', RATE_LIMIT_SENDS: '0', RATE_LIMIT_REQUESTS: '0'
  }).warnings.join()).not.toMatch(/PROXY|RATE/)
})

test('a process waits before it stops, unless it makes its own secret', () => {
  const secret = { JWT_SECRET: 's'.repeat(32) }
  expect(loadConfig({}).stopDelayMs).toBe(0)
  expect(loadConfig(secret).stopDelayMs).toBe(3_000)
  expect(loadConfig({ ...secret, STOP_DELAY_MS: '0' }).stopDelayMs).toBe(0)
  expect(loadConfig({ STOP_DELAY_MS: '250' }).stopDelayMs).toBe(250)
})

test('pushes go to FCM, to a stand-in, or into the log', () => {
  expect(loadConfig({}).fcm).toBeUndefined()
  expect(loadConfig({ GOOGLE_APPLICATION_CREDENTIALS: '/etc/account.json' })).toMatchObject({
    fcm: { credentialsFile: '/etc/account.json' }
  })
  const both =
    loadConfig({ FCM_ENDPOINT: 'http://127.0.0.1:9099', GOOGLE_APPLICATION_CREDENTIALS: '/etc/account.json' })
  expect(both.fcm).toEqual({ endpoint: 'http://127.0.0.1:9099' })
  expect(both.warnings.join()).toMatch(/FCM_ENDPOINT.*reach no phone/)
  expect(loadConfig({ PUSH_PRIVACY: 'content-free', PUSH_EXPIRE_MS: '3600000' })).toMatchObject({
    pushPrivacy: 'content-free', pushExpireMs: 3_600_000
  })
  for (const wrong of [{
    FCM_ENDPOINT: 'https://fcm.googleapis.com'
  }, { FCM_ENDPOINT: 'x' }, { PUSH_PRIVACY: 'none' }, { PUSH_EXPIRE_MS: '0' }]) {
    expect(() => loadConfig(wrong)).toThrow(Object.keys(wrong)[0])
  }
})

test('attachments go to a bucket when one is named, in the style of its server', () => {
  expect(loadConfig({}).s3).toBeUndefined()
  expect(loadConfig({ S3_BUCKET: 'echo' }).s3).toEqual({
    endpoint: undefined, bucket: 'echo', region: 'us-east-1', pathStyle: false
  })
  expect(loadConfig({ S3_BUCKET: 'echo', S3_ENDPOINT: 'http://localhost:9000', S3_REGION: 'garage' }).s3)
    .toEqual({ endpoint: 'http://localhost:9000', bucket: 'echo', region: 'garage', pathStyle: true })
  expect(
    loadConfig({ S3_BUCKET: 'echo', S3_ENDPOINT: 'https://s3.example', S3_PATH_STYLE: 'off' }).s3?.pathStyle
  ).toBe(false)
  expect(() => loadConfig({ S3_ENDPOINT: 'localhost:9000' })).toThrow(
    /S3_ENDPOINT must begin with http:[^]*S3_ENDPOINT needs S3_BUCKET/
  )
})

test('an api that may be one of several is told that attachments must be shared', () => {
  const several = { DATABASE_URL: 'postgres://x', REDIS_URL: 'redis://x', JWT_SECRET: 's'.repeat(32) }
  expect(loadConfig(several, ['api']).warnings.join()).toMatch(/attachments/)
  expect(loadConfig({ ...several, S3_BUCKET: 'echo' }, ['api']).warnings.join()).not.toMatch(/attachments/)
  expect(loadConfig(several, ['broker']).warnings.join()).not.toMatch(/attachments/)
})

test('.env.example and the reference in docs/operations.md are what the table of variables says', async () => {
  for (const part of GENERATED) {
    const same = await readFile(part.file, 'utf8') === await upToDate(part)
    expect(same, `${part.file} differs from config-table.ts: run npm run config:docs`).toBe(true)
  }
})

test('a copy of .env.example changes nothing', async () => {
  expect(loadConfig(parseEnv(await readFile('.env.example', 'utf8')))).toEqual(loadConfig({}))
})

test('a variable has one row, a default that its parser takes or an example, and what it means', () => {
  expect(new Set(variables.map(({ name }) => name)).size).toBe(variables.length)
  for (const { name, parse, default: fallback, example, doc } of variables) {
    const problems: string[] = []
    if (fallback !== undefined) expect(parse(fallback, problem => problems.push(problem)), name).toBeDefined()
    expect(problems, name).toEqual([])
    expect(fallback ?? example, name).toEqual(expect.any(String))
    expect(doc, name).toMatch(/^[A-Z`].*\.$/)
  }
})

test('a secret has no default, and its problem does not show it', () => {
  for (const { name, parse, default: fallback } of variables.filter(({ secret }) => secret)) {
    expect(fallback, name).toBeUndefined()
    const problems: string[] = []
    parse('hunter2', problem => problems.push(problem))
    expect(problems, name).toHaveLength(1)
    expect(problems.join(), name).not.toContain('hunter2')
  }
})

test('a certificate needs its key, and a port for MQTT over TLS both', () => {
  const tls = { TLS_CERT: '/etc/echo/cert.pem', TLS_KEY: '/etc/echo/key.pem' }
  expect(loadConfig({ ...tls, MQTTS_PORT: '8883' })).toMatchObject({
    mqttsPort: 8883, tls: { cert: '/etc/echo/cert.pem', key: '/etc/echo/key.pem' }
  })
  expect(loadConfig({}).tls).toBeUndefined()
  expect(() => loadConfig({ TLS_CERT: '/etc/echo/cert.pem' })).toThrow('TLS_CERT needs TLS_KEY too')
  expect(() => loadConfig({ TLS_KEY: '/etc/echo/key.pem' })).toThrow('TLS_KEY needs TLS_CERT too')
  expect(() => loadConfig({ MQTTS_PORT: '8883' })).toThrow('MQTTS_PORT needs TLS_CERT and TLS_KEY too')
  expect(() => loadConfig({ ...tls, MQTTS_PORT: '50051' })).toThrow('MQTTS_PORT and GRPC_PORT are both 50051')
})

test('origins of pages are a list of what browsers send', () => {
  expect(loadConfig({}).wsAllowedOrigins).toBeUndefined()
  expect(loadConfig({ WS_ALLOWED_ORIGINS: 'https://app.example.com, http://localhost:5173' }).wsAllowedOrigins)
    .toEqual(['https://app.example.com', 'http://localhost:5173'])
  expect(loadConfig({ WS_ALLOWED_ORIGINS: '*' }).wsAllowedOrigins).toEqual(['*'])
  expect(loadConfig({ CORS_ORIGINS: 'capacitor://localhost, ionic://app.x:80' }).corsOrigins)
    .toEqual(['capacitor://localhost', 'ionic://app.x:80'])
  for (const wrong of [
    'app.example.com', 'https://app.example.com/chat', 'https://App.example.com', 'http://a:80', 'null', 'x://',
    'capacitor://localhost/', 'https://*.example.com'
  ]) {
    expect(() => loadConfig({ WS_ALLOWED_ORIGINS: wrong }), wrong).toThrow(`not "${wrong}"`)
    expect(() => loadConfig({ CORS_ORIGINS: wrong }), wrong).toThrow(`not "${wrong}"`)
  }
})

test('a name that is nearly one of ours is refused with the one that is meant', () => {
  const nearly = {
    DATABASE_URI: 'DATABASE_URL',
    DB_HOST: 'DATABASE_URL',
    POSTGRES_URL: 'DATABASE_URL',
    REDIS_HOST: 'REDIS_URL',
    LOGLEVEL: 'LOG_LEVEL',
    log_level: 'LOG_LEVEL',
    PORT: 'HTTP_PORT',
    JWT_KEY: 'JWT_SECRET',
    JWT_JWKS_URI: 'JWT_JWKS_URL'
  }
  for (const [name, meant] of Object.entries(nearly)) {
    expect(() => loadConfig({ [name]: 'x' }), name)
      .toThrow(`${name} is not a variable of Echo: ${meant} is meant`)
  }
})

test('a platform may set PORT where HTTP_PORT is set too, and other names are left alone', () => {
  expect(loadConfig({ PORT: '3000', HTTP_PORT: '3000' }).httpPort).toBe(3000)
  // What Kubernetes sets for a service called redis, shells for themselves, and libpq and grpc-js read.
  for (const name of [
    'REDIS_PORT', 'REDIS_SERVICE_HOST', 'HOSTNAME', 'PGPASSWORD', 'POSTGRES_PASSWORD', 'GRPC_TRACE',
    'GRPC_DEFAULT_SSL_ROOTS_FILE_PATH'
  ]) {
    expect(loadConfig({ [name]: 'x' }).warnings.join(), name).not.toContain(name)
  }
  expect(loadConfig({ MQTT_TOPIC: 'x' }).warnings).toContain('MQTT_TOPIC is not a variable of Echo')
})

test('a secret of production without a database is warned of: the data are in the embedded one', () => {
  const warning = 'DATABASE_URL is not set: everything is kept in an embedded database below DATA_DIR'
  const key = { JWT_SECRET: 's'.repeat(32) }
  expect(loadConfig(key).warnings).toContain(warning)
  expect(loadConfig({}).warnings).not.toContain(warning)
  expect(loadConfig({ ...key, DATABASE_URL: 'postgres://x' }).warnings).not.toContain(warning)
})

test('a URL that its password breaks is refused with how to write it, and without the password', () => {
  for (const [password, problem] of [
    ['hunter#2', /DATABASE_URL has a #.*%23/], ['hunter/2', /DATABASE_URL is no URL.*%2F/]
  ] as const) {
    const wrong = { JWT_SECRET: 's'.repeat(32), DATABASE_URL: `postgres://echo:${password}@db:5432/echo` }
    expect(() => loadConfig(wrong)).toThrow(problem)
    expect(() => loadConfig(wrong)).not.toThrow(/hunter/)
    const right = `postgres://echo:${encodeURIComponent(password)}@db:5432/echo`
    expect(loadConfig({ ...wrong, DATABASE_URL: right }).databaseUrl).toBe(right)
  }
  const socket = 'postgres://postgres@/echo?host=%2Frun%2Fpostgresql'
  expect(loadConfig({ JWT_SECRET: 's'.repeat(32), DATABASE_URL: socket }).databaseUrl).toBe(socket)
})
