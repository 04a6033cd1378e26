/**
 * One MQTT connection of one device: its user, what it is entitled to, and its parts.
 *
 *   session        what is stored of the device's MQTT session
 *   subscriptions  what the connection is subscribed to
 *   ownTopics      delivery of the user's own topics
 *   socket         where packets go
 */
import { type Logger } from 'pino'
import { type Identity } from '../../core/identity.ts'
import { type ConnectionState } from '../../messaging/deliver/connections.ts'
import { type EarlyListener } from '../../messaging/deliver/early-listener.ts'
import { type Messaging } from '../../messaging/start.ts'
import { type StoredSubscription } from '../../migrations/schema.ts'
import { type OpenedDevice } from '../../store/people/device-sessions.ts'
import { levelOf } from '../connection-errors.ts'
import { type CommandLine } from './commands-in-order.ts'
import { DeviceSocket, type SocketHolder } from './device-socket.ts'
import { type MqttTarget } from './mqtt-delivery.ts'
import { OwnTopics } from './own-topics.ts'
import { keepIdsApart } from './packets.ts'
import { type ConnectionRegistry, type ConnectionsBefore, type RegisteredConnection } from './registry.ts'
import { StoredSession } from './stored-session.ts'
import { Subscriptions } from './subscriptions.ts'

/** What it uses of Aedes's client. */
export interface ConnectionClient extends SocketHolder {
  /** Where the client is, as far as a balancer in between tells. */
  readonly address?: string
  _nextId: number
  _keepaliveTimer: NodeJS.Timeout | null
  close (): void
}

export interface DeviceConnectionOptions {
  client: ConnectionClient
  identity: Identity
  deviceId: string
  clean: boolean
  opened: OpenedDevice
  /** What is known of the session's connections before this one. */
  before: ConnectionsBefore
  /** Has listened for the user's events since before the device was opened. */
  early?: EarlyListener
  messaging: Messaging
  log: Logger
}

export class DeviceConnection implements MqttTarget, RegisteredConnection, CommandLine {
  identity: Identity
  readonly userId: string
  readonly deviceId: string
  readonly clean: boolean
  /** Above that of every earlier connection of the device, on any node. */
  readonly lease: number
  readonly session: StoredSession
  readonly subscriptions: Subscriptions
  readonly ownTopics: OwnTopics
  readonly socket: DeviceSocket
  /** Filters of a debugging admin outside their own topics. */
  observed: Set<string> | undefined
  /** The last message of other topics that was forwarded to it. */
  forwarded: { brokerId: string, brokerCounter: number } | undefined
  /** When the device last sent something (milliseconds since 1970). */
  activeAt: number
  /** Commands are acknowledged in the order they came [MQTT-4.6.0-2]. */
  decided: Promise<unknown> = Promise.resolve()
  /** The device has opened another connection. */
  replaced = false
  /** A command could not be decided. */
  undecided = false
  /** Set at its end: resolves when its session is stored. */
  kept: Promise<void> | undefined
  readonly #connectedAt: number
  readonly #client: ConnectionClient
  readonly #messaging: Messaging
  readonly #log: Logger
  #closed = false
  #onClose: Array<() => void> | undefined

  constructor (
    { client, identity, deviceId, clean, opened, before, early, messaging, log }: DeviceConnectionOptions
  ) {
    const { userId } = identity
    this.#client = client
    this.#messaging = messaging
    this.#log = log
    this.activeAt = this.#connectedAt = messaging.now()
    this.identity = identity
    this.renew(identity)
    this.userId = userId
    this.deviceId = deviceId
    this.clean = clean
    this.lease = opened.lease
    // Restored [MQTT-3.1.2-4].
    this.session = new StoredSession(
      opened.subscriptions, opened.stored || before.open, subscriptions => this.#save(subscriptions)
    )
    this.subscriptions = new Subscriptions(opened.subscriptions)
    this.socket = new DeviceSocket(client)
    this.ownTopics = new OwnTopics({
      target: this, subscriptions: this.subscriptions, sentSeq: clean ? 0 : before.sentSeq, messaging, log
    })
    if (early !== undefined) this.ownTopics.takeOver(early, opened.start)
  }

  /** Aedes's client ids are global; a user id has no slash, so two users can never share one. */
  get clientId (): string { return `${this.userId}/${this.deviceId}` }
  /** What the registry keeps of its session. */
  get mqttSession (): { sentSeq: number | undefined } | undefined {
    return this.clean ? undefined : this.ownTopics
  }

  get closed (): boolean { return this.#closed }
  get address (): string | undefined { return this.#client.address }

  // To save subscriptions also tells where delivery may start; `follow` comes next.
  async #save (subscriptions: readonly StoredSubscription[]): Promise<void> {
    const { userId, deviceId, lease } = this
    if (subscriptions.length > 0) this.ownTopics.listen()
    this.ownTopics.startAt(await this.#messaging.openings.save({ userId, deviceId, lease, subscriptions }))
  }

  reply (payload: Buffer): void {
    this.ownTopics.reply(payload)
  }

  async drained (): Promise<void> {
    await this.socket.drained()
  }

  /** The device has sent something. */
  touch (): void {
    this.activeAt = this.#messaging.now()
  }

  /** The keepalive runs anew: the client was not silent, the broker did not read. */
  refreshKeepalive (): void {
    this.#client._keepaliveTimer?.refresh()
  }

  /** From now on the connection may do what this token says. */
  renew (identity: Identity): void {
    this.identity = identity
    // Only they are sent packets that Aedes numbers.
    if (identity.acl !== undefined || identity.admin) keepIdsApart(this.#client)
  }

  disconnect (reason: string): void {
    this.#log.info({ user_id: this.userId, device_id: this.deviceId, reason }, 'a device is disconnected')
    this.#client.close()
  }

  /** The socket is closed, or the broker stops. */
  close (): void {
    if (this.#closed) return
    this.ownTopics.close()
    this.socket.end()
    this.#closed = true
    if (!this.clean && this.identity.acl === undefined && !this.session.known) {
      this.kept = this.session.keep().catch((error: unknown) => this.#log[levelOf(error)](
        { err: error, user_id: this.userId, device_id: this.deviceId }, 'a session could not be stored'
      ))
    }
    for (const listener of this.#onClose ?? []) listener()
  }

  onClose (listener: () => void): void {
    if (this.#closed) listener()
    else (this.#onClose ??= []).push(listener)
  }

  state (): ConnectionState {
    const pump = this.ownTopics.delivery?.pump
    return {
      door: 'mqtt',
      device_id: this.deviceId,
      delivery: pump === undefined ? 'none' : pump.tracked ? 'tracked' : 'live',
      clean_session: this.clean,
      address: this.address ?? null,
      connected_at: this.#connectedAt,
      last_active_at: this.activeAt,
      unacknowledged: pump?.inFlight ?? 0,
      lag: pump === undefined ? 0 : pump.knownSeq - pump.ackedSeq,
      token_expires_at: this.identity.expiresAt * 1000
    }
  }
}

/** The connection over MQTT of this client id, if its latest one is. */
export function mqttConnectionOf (
  registry: Pick<ConnectionRegistry, 'find'>, clientId: string
): DeviceConnection | undefined {
  const connection = registry.find(clientId)
  return connection instanceof DeviceConnection ? connection : undefined
}
