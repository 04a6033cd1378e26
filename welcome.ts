/** Printed when everything is up: where Echo listens, and commands to paste. */
import { type Config } from './config.ts'
import { issueToken } from './messaging/access/tokens.ts'
import { type System } from './system.ts'

const TOKEN_TTL_SECONDS = 86_400
/** The quotes let the shell put its variable in. */
const MESSAGE = '{"conversation_id":"\'$CONVERSATION\'","content":"Hello Bob","message_type":"text"}'

export async function welcome (config: Config, system: System): Promise<string> {
  const host = ['0.0.0.0', '::'].includes(config.host) ? '127.0.0.1' : config.host
  const http = `${config.tls === undefined ? 'http' : 'https'}://${host}:${system.httpPort}`
  // By name: that is what a browser shows, and what people type.
  const page = `${http.replace('//127.0.0.1:', '//localhost:')}/`
  const webSocket = `${config.tls === undefined ? 'ws' : 'wss'}://${host}:${system.wsPort}`
  const lines = [
    '',
    'Echo is ready.',
    ...(config.roles.includes('api')
      ? [
        `  Open            ${page}   (the console for administrators: ${page}console)`,
        '',
        `  REST            ${http}/api/v1   (documentation: ${http}/docs)`
        ]
      : [`  HTTP            ${http}/health, ${http}/ready`]),
    ...(system.grpcPort === undefined
      ? []
      : [
        `  events (SSE)    ${http}/api/v1/events`,
        `  gRPC            ${host}:${system.grpcPort}   (message.MessageService; reflection is on)`
        ]),
    ...(system.mqttPort === undefined
      ? []
      : [
        `  MQTT            mqtt://${host}:${system.mqttPort}`,
        ...(system.mqttsPort === undefined
          ? []
          : [`  MQTT over TLS   mqtts://${host}:${system.mqttsPort}`]),
        `  MQTT over WS    ${webSocket}/mqtt`,
        `  JSON over WS    ${webSocket}/ws`
        ])
  ]
  if (system.developmentKey !== undefined) lines.push(...await demo(config, system, host, http))
  return lines.join('\n') + '\n'
}

async function demo (config: Config, system: System, host: string, http: string): Promise<string[]> {
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
