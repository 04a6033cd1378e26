/** Told when everything is up: where Echo listens, and to people commands to paste. */
import { type Logger } from 'pino'
import { type Config } from './config.ts'
import { isReadByPeople } from './log.ts'
import { issueToken } from './messaging/access/tokens.ts'
import { type System } from './system.ts'

const TOKEN_TTL_SECONDS = 86_400
/** The quotes let the shell put its variable in. */
const MESSAGE = '{"conversation_id":"\'$CONVERSATION\'","content":"Hello Bob","message_type":"text"}'

/** A line of the log, whatever its level: where every line is JSON, this one is too. */
export async function announce (config: Config, system: System, log: Logger): Promise<void> {
  const places = placesOf(config, system)
  if (isReadByPeople() || system.developmentKey !== undefined) {
    process.stdout.write(await welcome(config, system, places))
  } else {
    const urls = Object.fromEntries(places.map(({ field, url }) => [field, url]))
    log.child({}, { level: 'info' }).info(urls, 'Echo is ready')
  }
}

interface Place { label: string, field: string, url: string, note?: string }

function placesOf (config: Config, system: System): Place[] {
  const host = hostOf(config)
  const secure = config.tls === undefined ? '' : 's'
  const http = `http${secure}://${host}:${system.httpPort}`
  // By name: that is what a browser shows, and what people type.
  const page = `${http.replace('//127.0.0.1:', '//localhost:')}/`
  const webSocket = `ws${secure}://${host}:${system.wsPort}`
  const places: Place[] = config.roles.includes('api')
    ? [
        { label: 'Open', field: 'page', url: page, note: `(the console for administrators: ${page}console)` },
        { label: 'REST', field: 'rest', url: `${http}/api/v1`, note: `(documentation: ${http}/docs)` }
      ]
    : [{ label: 'HTTP', field: 'http', url: `${http}/ready`, note: `(metrics: ${http}/metrics)` }]
  if (system.grpcPort !== undefined) {
    places.push(
      { label: 'events (SSE)', field: 'events', url: `${http}/api/v1/events` },
      {
        label: 'gRPC',
        field: 'grpc',
        url: `${host}:${system.grpcPort}`,
        note: '(message.MessageService; reflection is on)'
      }
    )
  }
  if (system.mqttPort !== undefined) {
    places.push({ label: 'MQTT', field: 'mqtt', url: `mqtt://${host}:${system.mqttPort}` })
    if (system.mqttsPort !== undefined) {
      places.push({ label: 'MQTT over TLS', field: 'mqtts', url: `mqtts://${host}:${system.mqttsPort}` })
    }
    places.push(
      { label: 'MQTT over WS', field: 'mqtt_over_ws', url: `${webSocket}/mqtt` },
      { label: 'JSON over WS', field: 'json_over_ws', url: `${webSocket}/ws` }
    )
  }
  return places
}

const hostOf = ({ host }: Config): string => ['0.0.0.0', '::'].includes(host) ? '127.0.0.1' : host

async function welcome (config: Config, system: System, places: Place[]): Promise<string> {
  const lines = ['', 'Echo is ready.', ...places.map(({ label, url, note }) =>
    `  ${label.padEnd(15)} ${url}${note === undefined ? '' : `   ${note}`}`)]
  if (system.developmentKey !== undefined) lines.push(...await demo(config, system))
  return lines.join('\n') + '\n'
}

async function demo (config: Config, system: System): Promise<string[]> {
  const host = hostOf(config)
  const http = `http${config.tls === undefined ? '' : 's'}://${host}:${system.httpPort}`
  const token = (userId: string, name: string): Promise<string> => issueToken({
    secret: system.developmentKey!,
    userId,
    name,
    ttlSeconds: TOKEN_TTL_SECONDS,
    issuer: config.jwtIssuer,
    audience: config.jwtAudience
  })
  const alice = await token('alice', 'Alice')
  const bob = await token('bob', 'Bob')
  return [
    '',
    'Paste into a second terminal: bob\'s phone (needs mosquitto-clients)',
    '',
    `BOB=${bob}`,
    `mosquitto_sub -h ${host} -p ${system.mqttPort} -i bobs-phone -c -q 1 -u bob -P $BOB -t user/bob/inbox`,
    '',
    'Paste into a third terminal: alice opens a conversation, sends, and asks who has it',
    '',
    `ALICE=${alice} BOB=${bob} API=${http}/api/v1`,
    `CONVERSATION=${postedId('conversations', '{"type":"direct","participant_ids":["bob"]}')}`,
    `MESSAGE=${postedId('messages', MESSAGE)}`,
    'sleep 1; curl -s $API/messages/$MESSAGE/status -H "authorization: Bearer $ALICE"; echo',
    'curl -s -X POST $API/messages/$MESSAGE/read -H "authorization: Bearer $BOB"',
    'curl -s $API/messages/$MESSAGE/status -H "authorization: Bearer $ALICE"; echo',
    'curl -s $API/inbox -H "authorization: Bearer $ALICE"; echo',
    '',
    'More tokens: npm run -s token -- <user-id>. Stop with Ctrl-C.'
  ]
}

/** A shell expression: posts `body` as alice and gives the id of the answer. */
const postedId = (path: string, body: string): string =>
  `$(curl -s $API/${path} -H "authorization: Bearer $ALICE" -H 'content-type: application/json' -d '${body}' ` +
  '| node -p \'JSON.parse(fs.readFileSync(0)).id\')'
