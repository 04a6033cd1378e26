/**
 * The packets of one client, in the order they came.
 *
 * Aedes works on all packets of a chunk at the same time, so that a SUBSCRIBE would find both the
 * retained message of the PUBLISH before it and the message itself. CONNECT, SUBSCRIBE and UNSUBSCRIBE
 * therefore wait until what came before them is done, and what comes after waits for them. Meanwhile
 * nothing is read from the connection, so what is held is at most what was read before.
 */
import { type Packet } from 'mqtt-packet'
import { ClientFault } from '../connection-errors.ts'
import { type EchoClient } from './client.ts'

type Done = (error?: Error | null) => void
type Handle<P> = (client: EchoClient, packet: P, done: Done) => void
type Of<C extends Packet['cmd']> = Extract<Packet, { cmd: C }>

export interface Intake {
  subscribe: Handle<Of<'subscribe'> & { refused?: number }>
  unsubscribe: Handle<Of<'unsubscribe'>>
}

/** Beyond Aedes's published types. It reads on when none of the packets it has read is under way. */
interface Reader extends EchoClient {
  _parser: NodeJS.EventEmitter
  _parsingBatch: number
  _nextBatch: Done
  connackSent: boolean
}

/** More packets than a client can make Aedes count down while they are held. */
const HOLD = 2 ** 40
/** As Aedes has it: packets that come before the CONNACK. */
const MAX_BEFORE_CONNACK = 42

const goesAlone = ({ cmd }: Packet): boolean => cmd === 'connect' || cmd === 'subscribe' ||
  cmd === 'unsubscribe'

export function takeInOrder (echoClient: EchoClient, { subscribe, unsubscribe }: Intake): void {
  const client = echoClient as Reader
  const parser = client._parser
  const giveToAedes = parser.listeners('packet')[0] as (packet: Packet) => void
  let held: Packet[] = []
  let next = 0
  let holding = false
  let underWay = 0
  let alone = false

  function take (packet: Packet): void {
    if (next < held.length || !isFree(packet)) return hold(packet)
    start(packet)
  }

  const isFree = (packet: Packet): boolean => !alone && (underWay === 0 || !goesAlone(packet))

  function start (packet: Packet): void {
    underWay++
    alone = goesAlone(packet)
    const readOn = client._nextBatch
    const done: Done = error => {
      underWay--
      alone = false
      readOn(error)
      release()
    }
    if (client.connected && packet.cmd === 'subscribe') return handle(subscribe, packet, done)
    if (client.connected && packet.cmd === 'unsubscribe') return handle(unsubscribe, packet, done)
    // Aedes takes what is called when the packet is done from here.
    client._nextBatch = done
    giveToAedes.call(parser, packet)
    client._nextBatch = readOn
  }

  function handle<P> (handler: Handle<P>, packet: P, done: Done): void {
    client._parsingBatch++
    handler(client, packet, done)
  }

  function hold (packet: Packet): void {
    if (!client.connackSent && held.length >= MAX_BEFORE_CONNACK) {
      parser.emit('error', new ClientFault('too many packets before the CONNACK'))
      return
    }
    held.push(packet)
    if (!holding) client._parsingBatch += HOLD
    holding = true
  }

  function release (): void {
    while (!client.closed && next < held.length && isFree(held[next]!)) start(held[next++]!)
    if (!holding || next < held.length) return
    held = []
    next = 0
    holding = false
    client._parsingBatch -= HOLD - 1
    client._nextBatch()
  }

  parser.removeAllListeners('packet')
  parser.on('packet', take)
}
