/**
 * MQTT 3.1.1 to the letter, where mqtt-packet lets more pass: a packet that breaks a rule closes its
 * connection [MQTT-4.8.0-1].
 *
 * It also bounds how many filters of one packet are read. A SUBSCRIBE of 256 KB can hold 80,000, and
 * to read them as texts takes a quarter of a second in which no other client is served.
 */
import { isUtf8 } from 'node:buffer'
import { type Packet } from 'mqtt-packet'
import { isTopicFilter, isTopicName } from '../../core/topics.ts'
import { ClientFault } from '../connection-errors.ts'
import { type EchoClient } from './client.ts'

/** Filters of one SUBSCRIBE or UNSUBSCRIBE that are looked at. */
export const MAX_FILTERS_PER_PACKET = 200

const SHORTEST_FILTER_BYTES = 3
const PROTOCOL_NAMES: ReadonlySet<string | null> = new Set(['MQTT', 'MQIsdp'])
const KNOWN_LEVELS: ReadonlySet<number> = new Set([3, 4, 5])
const BRIDGE_BIT = 0x80

/** Beyond its published type: one instance reads one connection, and its methods are its states. */
interface Parser {
  packet: Packet & { length: number, refused?: number, protocolVersion?: number }
  error: Error | null
  _pos: number
  _list: { slice (start: number, end: number): Buffer, readUInt8 (at: number): number }
  _parsePayload (): boolean
  _parseString (): string | null
  _parseConnect (): unknown
  _parseSubscribe (): unknown
  _parseUnsubscribe (): unknown
  _emitError (error: Error): void
}

export function parseStrictly (client: EchoClient): void {
  Object.assign((client as unknown as { _parser: Parser })._parser, {
    _parsePayload: parsePayload,
    _parseString: parseString,
    _parseConnect: parseConnect,
    _parseSubscribe: parseSubscribe,
    _parseUnsubscribe: parseUnsubscribe,
    _emitError: emitError
  })
}

const lenient = (parser: Parser): Parser => Object.getPrototypeOf(parser)

function emitError (this: Parser, { message }: Error): void {
  lenient(this)._emitError.call(this, new ClientFault(message))
}

function parsePayload (this: Parser): boolean {
  const complete = lenient(this)._parsePayload.call(this)
  if (!complete || this.error !== null) return complete
  const broken = brokenRule(this.packet, this._pos)
  if (broken !== undefined) this._emitError(new Error(broken))
  return complete
}

/** `end`: where the parser has got to in the packet. */
function brokenRule (packet: Parser['packet'], end: number): string | undefined {
  // What a PUBLISH holds behind its topic is the payload; every other packet says all its parts.
  if (packet.cmd === 'publish' ? end > packet.length : end !== packet.length) {
    return 'the length of a packet is not that of its parts'
  }
  if ('messageId' in packet && packet.messageId! < 1) return 'a packet identifier is not 0' // [MQTT-2.3.1-1]
  switch (packet.cmd) {
    case 'connect': {
      const { will, username, password } = packet
      if (will !== undefined && will.qos! > 2) return 'a will has QoS 0, 1 or 2' // [MQTT-3.1.2-14]
      // [MQTT-4.7.1-1]
      if (will !== undefined && !isTopicName(will.topic)) return 'the topic of a will is none'
      // [MQTT-3.1.2-22]
      return password !== undefined && username === undefined ? 'a password needs a user name' : undefined
    }
    case 'publish':
      return packet.dup && packet.qos === 0 ? 'QoS 0 is sent once' : undefined // [MQTT-3.3.1-2]
    case 'subscribe': // [MQTT-3.8.3-3]
      return brokenFilter(packet.subscriptions.map(({ topic }) => topic))
    case 'unsubscribe': // [MQTT-3.10.3-2]
      return brokenFilter(packet.unsubscriptions)
  }
}

function brokenFilter (filters: string[]): string | undefined {
  if (filters.length === 0) return 'a packet without a filter'
  return filters.every(isTopicFilter) ? undefined : 'a wildcard stands for a whole level' // [MQTT-4.7.1-2]
}

// Null: the packet cannot be parsed. [MQTT-1.5.3-1] [MQTT-1.5.3-2]
function parseString (this: Parser): string | null {
  const start = this._pos
  const text = lenient(this)._parseString.call(this)
  if (text === null || text.includes('\0')) return null
  // Only what is no UTF-8, or is U+FFFD itself, is decoded so.
  return text.includes('\uFFFD') && !isUtf8(this._list.slice(start + 2, this._pos)) ? null : text
}

// Of a protocol level that is not known, nothing behind the level is: Aedes answers with CONNACK 1
// [MQTT-3.1.2-2], where the parser would close the connection without one.
function parseConnect (this: Parser): unknown {
  const { packet } = this
  const name = packet.length >= 2 ? this._parseString() : null
  const level = name !== null && this._pos < packet.length ? this._list.readUInt8(this._pos) : undefined
  if (!PROTOCOL_NAMES.has(name) || level === undefined || KNOWN_LEVELS.has(level & ~BRIDGE_BIT)) {
    this._pos = 0
    return lenient(this)._parseConnect.call(this)
  }
  this._pos = packet.length
  return Object.assign(packet, { protocolId: name, protocolVersion: level, clientId: '', clean: true })
}

// The filters behind the last one that is looked at are only counted: each gets its 0x80 [MQTT-3.8.4-5].
function parseSubscribe (this: Parser): unknown {
  const { packet } = this
  const { length } = packet
  const { end, beyond } = measureFilters(this, 1)
  if (beyond === 0) return lenient(this)._parseSubscribe.call(this)
  packet.length = end
  const parsed = lenient(this)._parseSubscribe.call(this)
  packet.length = length
  packet.refused = beyond
  this._pos = beyond < 0 ? end : length
  return parsed
}

// UNSUBACK has no way to refuse.
function parseUnsubscribe (this: Parser): unknown {
  if (measureFilters(this, 0).beyond === 0) return lenient(this)._parseUnsubscribe.call(this)
  return this._emitError(new Error(`an UNSUBSCRIBE has at most ${MAX_FILTERS_PER_PACKET} filters`))
}

/**
 * Where the filters end that are looked at, and how many are behind them; -1: they are not whole.
 * `optionBytes` follow each filter.
 */
function measureFilters (
  { packet: { length }, _list }: Parser, optionBytes: number
): { end: number, beyond: number } {
  if (length <= 2 + MAX_FILTERS_PER_PACKET * SHORTEST_FILTER_BYTES) return { end: length, beyond: 0 }
  const bytes = _list.slice(0, length)
  let [end, count] = [length, 0]
  let at = 2
  for (; at + 2 <= length; count++) {
    if (count === MAX_FILTERS_PER_PACKET) end = at
    at += 2 + bytes.readUInt16BE(at) + optionBytes
  }
  if (at !== length) return { end, beyond: count > MAX_FILTERS_PER_PACKET ? -1 : 0 }
  return { end, beyond: Math.max(0, count - MAX_FILTERS_PER_PACKET) }
}
