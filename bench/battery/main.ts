/**
 * `npm run bench:battery [-- --silence 120]`: what a phone's radio carries, measured by a proxy that counts
 * between a phone and Echo, and printed as the tables of docs/clients.md. `--silence` is for how many
 * seconds a silent phone with JSON is watched.
 */
import { parseArgs } from 'node:util'
import { startServer } from '../server.ts'
import { type Traffic } from './counter.ts'
import { measure, measureSilence, type Costs, type Subject } from './measure.ts'
import { createCertificate } from './tls.ts'

/** IPv4 and TCP without options: of each packet, and of its acknowledgement, which often travels along. */
const HEADER_BYTES = 40
const KEEPALIVES_S = [60, 300, 900, 1_800]
/** Of JSON over WebSocket: docs/protocol.md. */
const SERVER_ASKS_S = 54
const HOUR_S = 3_600

const { values } = parseArgs({ options: { silence: { type: 'string', default: '120' } } })
const silenceS = Number(values.silence)
if (!(silenceS >= 1 && silenceS <= HOUR_S)) throw new Error('--silence is 1 to 3600 seconds')

const certificate = await createCertificate()
const subjects: Subject[] = [
  { door: 'MQTT', certificate: undefined }, { door: 'MQTT', certificate },
  { door: 'MQTT over WebSocket', certificate: undefined }, { door: 'MQTT over WebSocket', certificate },
  { door: 'JSON over WebSocket', certificate: undefined }, { door: 'JSON over WebSocket', certificate }
]
const nameOf = ({ door, certificate }: Subject): string => certificate === undefined ? door : `${door}, TLS`

await using server = await startServer({ database: 'embedded' })
const silence = measureSilence(server, silenceS)
const results: Array<{ name: string, costs: Costs }> = []
for (const subject of subjects) results.push({ name: nameOf(subject), costs: await measure(server, subject) })

const packets = ({ upPackets, downPackets }: Traffic): number => upPackets + downPackets
const bytes = ({ upBytes, downBytes }: Traffic): number => upBytes + downBytes
const withHeaders = (traffic: Traffic): number => bytes(traffic) + 2 * HEADER_BYTES * packets(traffic)
const whole = (value: number): string => Math.round(value).toLocaleString('en')
const cell = (traffic: Traffic | undefined): string => traffic === undefined || bytes(traffic) === 0
  ? ''
  : `${whole(traffic.upBytes)} + ${whole(traffic.downBytes)}, ${whole(packets(traffic))}`

function table (head: string[], rows: string[][]): void {
  for (const row of [head, head.map(() => '---'), ...rows]) console.log(`| ${row.join(' | ')} |`)
  console.log()
}

console.log('bytes up + down, packets\n')
table(['', 'message received', 'message sent', 'receipt', 'PINGREQ'], results.map(({ name, costs }) =>
  [name, cell(costs.received), cell(costs.sent), cell(costs.receipt), cell(costs.ping)]))
table(['', 'stored session', 'the same, TLS resumed', 'no session, `GET /inbox`'],
  results.map(({ name, costs }) => [name, cell(costs.connect), cell(costs.resumed), cell(costs.unstored)]))

console.log('an hour of silence: bytes, with headers (estimate), packets\n')
const hour = (exchange: Traffic, times: number): string =>
  [bytes, withHeaders, packets].map(of => whole(of(exchange) * times)).join(', ')
table(['', ...KEEPALIVES_S.map(keepalive => `${keepalive} s`)], results
  .filter(({ costs }) => bytes(costs.ping) > 0)
  .map(({ name, costs }) => [name, ...KEEPALIVES_S.map(keepalive => hour(costs.ping, HOUR_S / keepalive))]))
const asked = await silence
const exchanges = packets(asked) / 2
console.log(`JSON over WebSocket, whose server asked ${exchanges} times in ${silenceS} s and does so every ` +
  `${SERVER_ASKS_S} s: ${hour(asked, HOUR_S / SERVER_ASKS_S / exchanges)}`)
