/** The command line of the benchmark. */
import { resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { DEBIAN_BINARIES } from './database.ts'
import { SCENARIO_NAMES, scenarioNamed } from './scenarios/all.ts'
import { type Bench, type Scenario, type Sizes } from './scenarios/scenario.ts'
import { type DatabaseKind } from './server.ts'
import { SERVER_NAMES, type ServerName } from './subjects.ts'

export interface Options extends Omit<Bench, 'server' | 'meter'> {
  databases: DatabaseKind[]
  databaseUrl: string | undefined
  binaries: string
  settings: string[]
  sizes: Sizes
  scenarios: Scenario[]
  servers: ServerName[]
  json: string | undefined
  /** The checkout of Echo that is measured. */
  cwd: string
  profile: string | undefined
}

// All but history, which takes some ten minutes and ten gigabytes.
const DEFAULT_SCENARIOS =
  ['closed-1', 'closed-4', 'rate-200', 'rate-500', 'group', 'connect', 'idle', 'catch-up']

/** Of a door beside MQTT. */
const MESSAGES = 'closed-1,closed-4,rate-200,rate-500'

export const HELP = `npm run bench -- [options]
  --only a,b             scenarios: ${SCENARIO_NAMES.join(', ')}
                         (${DEFAULT_SCENARIOS.join(',')})
  --servers echo,one-by-one
                         also echo-ws; bare-aedes, in-memory, and floor: what no server can leave out
  --database postgres    embedded, postgres (a fresh cluster of Debian's PostgreSQL 15) or both
  --database-url URL     an empty database of your own instead
  --pg-bin DIR           where initdb and postgres are (${DEBIAN_BINARIES})
  --pg-setting NAME=VALUE  for the fresh cluster, any number of times
  --users 200 --senders 64 --partners 20   all users are online; each sender writes to so many others
  --outstanding 16       the same as --only closed-16: messages under way per sender
  --seconds 8 --warm-up 4
  --door rest            or mqtt: messages go in as commands on the outbox;
                         or ws: phones with JSON over WebSocket beside those with MQTT
  --no-client-ids        messages carry no client_message_id
  --no-device            POST /messages does not name the sender's device
  --devices 10000 --group-sizes 10,100,1000 --backlogs 10000 --messages 0,10000000
                         of the scenarios connect and idle, group, catch-up, history
  --cwd DIR              another checkout whose Echo is measured
  --profile DIR          for CPU profiles of Echo
  --json FILE            writes the results there`

/** Undefined when only help is wanted. Throws an Error that names a wrong option. */
export function readOptions (args: string[]): Options | undefined {
  const { values } = parseArgs({
    args,
    options: {
      help: { type: 'boolean', short: 'h', default: false },
      only: { type: 'string' },
      servers: { type: 'string' },
      database: { type: 'string', default: 'postgres' },
      'database-url': { type: 'string' },
      'pg-bin': { type: 'string', default: DEBIAN_BINARIES },
      'pg-setting': { type: 'string', multiple: true, default: [] },
      users: { type: 'string', default: '200' },
      senders: { type: 'string', default: '64' },
      partners: { type: 'string', default: '20' },
      outstanding: { type: 'string' },
      seconds: { type: 'string', default: '8' },
      'warm-up': { type: 'string', default: '4' },
      door: { type: 'string', default: 'rest' },
      'no-client-ids': { type: 'boolean', default: false },
      'no-device': { type: 'boolean', default: false },
      devices: { type: 'string', default: '10000' },
      'group-sizes': { type: 'string', default: '10,100,1000' },
      backlogs: { type: 'string', default: '10000' },
      messages: { type: 'string', default: '0,10000000' },
      cwd: { type: 'string', default: resolve(import.meta.dirname, '..') },
      profile: { type: 'string' },
      json: { type: 'string' }
    }
  })
  if (values.help) return undefined
  const databaseUrl = values['database-url']
  const besideMqtt = values.door === 'ws'
  return {
    databases: databaseUrl !== undefined
      ? ['url']
      : values.database === 'both'
        ? ['embedded', 'postgres']
        : [known('--database', values.database, ['embedded', 'postgres'])],
    databaseUrl,
    binaries: values['pg-bin'],
    settings: values['pg-setting'],
    scenarios: chosenScenarios(values.only ?? (besideMqtt ? MESSAGES : undefined), values.outstanding)
      .map(scenarioNamed),
    servers: (values.servers ?? (besideMqtt ? 'echo,echo-ws' : 'echo,one-by-one')).split(',')
      .map(name => known('--servers', name, SERVER_NAMES)),
    world: {
      users: count('--users', values.users),
      senders: count('--senders', values.senders),
      partners: count('--partners', values.partners),
      door: besideMqtt ? 'rest' : known('--door', values.door, ['rest', 'mqtt']),
      phones: 'mqtt',
      clientIds: !values['no-client-ids'],
      nameDevice: !values['no-device']
    },
    seconds: count('--seconds', values.seconds),
    warmUpSeconds: count('--warm-up', values['warm-up']),
    sizes: {
      devices: counts('--devices', values.devices),
      groupSizes: counts('--group-sizes', values['group-sizes']),
      backlogs: counts('--backlogs', values.backlogs),
      messages: counts('--messages', values.messages)
    },
    cwd: resolve(values.cwd),
    profile: values.profile,
    json: values.json
  }
}

function chosenScenarios (only: string | undefined, outstanding: string | undefined): string[] {
  const closed = outstanding?.split(',').map(number => `closed-${number}`) ?? []
  return only === undefined && closed.length > 0
    ? closed
    : [...only?.split(',') ?? DEFAULT_SCENARIOS, ...closed]
}

function count (name: string, text: string): number {
  if (!/^\d+$/.test(text)) throw new Error(`${name} must be a whole number, not "${text}"`)
  return Number(text)
}

function counts (name: string, text: string): number[] {
  return text.split(',').map(part => count(name, part))
}

function known<T extends string> (name: string, text: string, choices: readonly T[]): T {
  const found = choices.find(choice => choice === text)
  if (found === undefined) throw new Error(`${name}: "${text}" is none of ${choices.join(', ')}`)
  return found
}
