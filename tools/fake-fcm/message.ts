/** What FCM's HTTP v1 API takes as a message. Source: the v1 reference, projects.messages. */

const MAX_PAYLOAD_BYTES = 4_096
const MAX_COLLAPSE_ID_BYTES = 64
const RESERVED_KEY = /^(from|message_type|collapse_key)$|^(google|gcm)/

type Check = (value: any, path: string) => string | undefined
const string: Check = (value, path) => typeof value === 'string' ? undefined : `${path} must be a string`
const boolean: Check = (value, path) =>
  typeof value === 'boolean' ? undefined : `${path} must be true or false`
const integer: Check = (value, path) => Number.isInteger(value) ? undefined : `${path} must be a whole number`
const anything: Check = () => undefined
const matching = (pattern: RegExp): Check => (value, path) => typeof value === 'string' && pattern.test(value)
  ? undefined
  : `${path} is not valid: ${JSON.stringify(value)}`
const strings: Check = (value, path) => {
  const wrong = typeof value !== 'object' || value === null ||
    Object.values(value).some(entry => typeof entry !== 'string')
  return wrong ? `${path} must hold strings` : undefined
}
const object = (fields: Record<string, Check>, { others = false } = {}): Check => (value, path) => {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return `${path} must be an object`
  for (const [name, entry] of Object.entries(value)) {
    const check = Object.hasOwn(fields, name) ? fields[name]! : undefined
    if (check === undefined && !others) return `Unknown name "${name}" at '${path}'`
    const problem = check?.(entry, `${path}.${name}`)
    if (problem !== undefined) return problem
  }
  return undefined
}

const duration = matching(/^\d+(\.\d{1,9})?s$/)
const apnsHeaders = object({
  'apns-priority': matching(/^(1|5|10)$/),
  'apns-push-type': matching(/^(alert|background)$/),
  'apns-collapse-id': (value, path) => string(value, path) ??
    (Buffer.byteLength(value) > MAX_COLLAPSE_ID_BYTES
      ? `${path} is longer than ${MAX_COLLAPSE_ID_BYTES} bytes`
      : undefined),
  'apns-expiration': matching(/^\d+$/)
})
const aps = object({
  alert: anything,
  badge: integer,
  sound: anything,
  'thread-id': string,
  'mutable-content': integer,
  'content-available': integer,
  category: string
})
const message = object({
  token: matching(/^\S+$/),
  data: (value, path) => strings(value, path) ??
    (Object.keys(value).some(key => RESERVED_KEY.test(key)) ? `${path} has a reserved key` : undefined),
  notification: object({ title: string, body: string, image: string }),
  android: object({
    priority: matching(/^(normal|high|NORMAL|HIGH)$/),
    ttl: duration,
    collapse_key: string,
    notification: object({
      title: string,
      body: string,
      tag: string,
      sound: string,
      notification_count: integer,
      channel_id: string,
      click_action: string
    })
  }),
  apns: object({ headers: apnsHeaders, payload: object({ aps }, { others: true }) }),
  webpush: object({
    headers: object({
      TTL: matching(/^\d+$/),
      Urgency: matching(/^(very-low|low|normal|high)$/),
      Topic: matching(/^[\w-]{1,32}$/)
    }),
    notification: object({ tag: string, renotify: boolean, title: string, body: string }, { others: true })
  })
})
const request = object({ message, validate_only: boolean })

/** Why FCM would refuse it; undefined when it would not. */
export function refuseMessage (body: any): string | undefined {
  const problem = request(body, 'request')
  if (problem !== undefined) return problem
  if (body.message?.token === undefined) return 'message has no token'
  const { aps } = body.message.apns?.payload ?? {}
  const background = body.message.apns?.headers?.['apns-push-type'] === 'background'
  if (background && (aps.badge !== undefined || aps.alert !== undefined || aps.sound !== undefined ||
    body.message.apns.headers['apns-priority'] !== '5')) {
    return 'a background push has priority 5 and nothing to show'
  }
  return payloadBytes(body.message) > MAX_PAYLOAD_BYTES
    ? `message is larger than ${MAX_PAYLOAD_BYTES} bytes`
    : undefined
}

/** Everything but the address, so never less than what a push service counts. */
export const payloadBytes = ({ token, ...payload }: Record<string, unknown>): number =>
  Buffer.byteLength(JSON.stringify(payload))
