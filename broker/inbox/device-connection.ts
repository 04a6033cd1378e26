/**
 * One MQTT connection of one device: what it subscribed to of its user's own
 * topics, and the pump that serves its inbox.
 *
 * It writes straight to the connection, past Aedes's emitter and persistence,
 * and only while the socket takes it: what is for the moment (live, copies) is
 * dropped when the socket is full, what is durable waits in the log.
 */
import { type Logger } from 'pino'
import { type Identity } from '../../core/identity.ts'
import { inboxTopic, liveTopic, repliesTopic } from '../../core/topics.ts'
import { type ConnectionState } from '../../messaging/people/connections.ts'
import { Pump, type PumpConnection, type PumpEvent } from '../../messaging/deliver/pump.ts'
import { type TrackedSession } from '../../messaging/deliver/tracked-sessions.ts'
import { type Messaging } from '../../messaging/start.ts'
import { type WakeListener, type WakeEvent } from '../../messaging/deliver/wakes.ts'
import { type StoredSubscription } from '../../migrations/schema.ts'
import { saveSubscriptions, startingPoint } from '../../store/people/devices.ts'
import { type EchoClient } from '../aedes/client.ts'
import { traceDelivery, type DeliveryTrace } from './delivery-trace.ts'
import { encodeEvents, encodePublish, isInboxId, keepIdsApart, replyId, seqOfInboxId } from './packets.ts'
import { Subscriptions } from './subscriptions.ts'
import { type SessionQueue } from '../acl/session-queue.ts'

const RETRY_START_MS = 1_000

export interface DeviceConnectionOptions {
  client: EchoClient
  identity: Identity
  deviceId: string
  clean: boolean
  /** Above that of every earlier connection of the device, on any node. */
  lease: number
  /** The subscriptions of the stored session, to be restored [MQTT-3.1.2-4]. */
  stored: StoredSubscription[]
  messaging: Messaging
  log: Logger
}

export class DeviceConnection implements WakeListener, PumpConnection {
  identity: Identity
  readonly userId: string
  readonly deviceId: string
  readonly clean: boolean
  readonly lease: number
  /** The subscriptions of the user's own topics that outlive the connection. */
  stored: readonly StoredSubscription[]
  /** Filters of a debugging admin outside their own topics. */
  observed: Set<string> | undefined
  /** What brings a stored session its topics granted by `acl`, when they are in Redis. */
  queue: SessionQueue | undefined
  readonly #connectedAt = Date.now()
  /** When the device was last heard of (milliseconds). */
  activeAt = Date.now()
  /** The commands of this connection are acknowledged in the order they came [MQTT-4.6.0-2]. */
  decided: Promise<unknown> = Promise.resolve()
  #saved: Promise<unknown> = Promise.resolve()
  readonly #client: EchoClient
  readonly #messaging: Messaging
  readonly #log: Logger
  readonly #trace: DeliveryTrace | undefined
  readonly subscriptions: Subscriptions
  #inboxQos: 0 | 1 | undefined
  #pump: Pump | undefined
  #tracked: TrackedSession | undefined
  #stopListening: (() => void) | undefined
  #waitsForDrain = false
  #replies = 0
  #keptForDrain = 0
  #closed = false
  #onClose: Array<() => void> | undefined

  constructor (
    { client, identity, deviceId, clean, lease, stored, messaging, log }: DeviceConnectionOptions
  ) {
    this.#client = client
    this.identity = identity
    this.renew(identity)
    this.userId = identity.userId
    this.deviceId = deviceId
    this.clean = clean
    this.lease = lease
    this.stored = stored
    this.subscriptions = new Subscriptions(stored)
    this.#messaging = messaging
    this.#log = log
    this.#trace = traceDelivery(log, { user_id: this.userId, device_id: deviceId })
  }

  /** Aedes's client ids are global; a user id has no slash, so two users can never share one. */
  get clientId (): string { return `${this.userId}/${this.deviceId}` }
  get pump (): Pump | undefined { return this.#pump }
  get closed (): boolean { return this.#closed }

  /**
   * Changes what is stored. A client may send several SUBSCRIBEs without waiting: each
   * change builds on the one before, and they are written in that order.
   */
  async store (subscriptions: StoredSubscription[]): Promise<void> {
    this.stored = subscriptions
    const saved = this.#saved.then(() => saveSubscriptions(
      this.#messaging.database.autocommit, this.userId, this.deviceId, this.lease, subscriptions
    ))
    this.#saved = saved.catch(() => {})
    await saved
  }

  /** The CONNACK is written: what was stored may be delivered. */
  restored (): void {
    this.#apply()
  }

  /** The SUBACK is written: delivery may begin. */
  subscribed (subscriptions: readonly StoredSubscription[]): void {
    this.subscriptions.add(subscriptions)
    this.#apply()
  }

  unsubscribed (filters: string[]): void {
    this.subscriptions.remove(filters)
    this.#apply()
  }

  touch (): void {
    this.activeAt = Date.now()
  }

  #apply (): void {
    if (this.#closed) return
    if (this.subscriptions.anyOwn) this.#stopListening ??= this.#messaging.wakes.listen(this.userId, this)
    else this.#stopListen()
    const qos = this.subscriptions.qosFor(inboxTopic(this.userId))
    const inboxQos = qos === 2 ? 1 : qos
    if (inboxQos === this.#inboxQos) return
    this.#stopPump()
    this.#inboxQos = inboxQos
    if (inboxQos !== undefined) this.#startPump(inboxQos === 1)
  }

  #startPump (tracked: boolean): void {
    const { inboxLog, acknowledgements, trackedSessions: sessions } = this.#messaging
    const pump = new Pump({
      userId: this.userId,
      connection: this,
      readLog: inboxLog.after,
      onAcknowledged: (seq, deliveries) => acknowledgements.add({
        userId: this.userId, deviceId: this.clean ? undefined : this.deviceId, seq, deliveries, lease: this.lease
      }),
      tracked,
      now: Date.now
    })
    this.#pump = pump
    if (tracked) {
      this.#tracked = {
        userId: this.userId, deviceId: this.deviceId, pump, disconnect: reason => this.disconnect(reason)
      }
      sessions.add(this.#tracked)
    }
    this.#begin(pump).catch((error: unknown) => {
      this.#log.warn(
        { err: error, user_id: this.userId, device_id: this.deviceId }, 'delivery to a device could not begin'
      )
      this.disconnect('delivery could not begin')
    })
  }

  // Where the device starts: after its own cursor, or where the user's devices
  // have got to; a live copy at the end of the log.
  async #begin (pump: Pump): Promise<void> {
    while (!this.#closed && this.#pump === pump) {
      try {
        await this.#messaging.acknowledgements.settled(this.userId)
        const at = await startingPoint(this.#messaging.database.autocommit, this.userId, this.deviceId)
        if (at === undefined) throw new Error('the user of a session is not stored')
        if (this.#closed || this.#pump !== pump) return
        const cursor = this.clean ? at.acked_seq : at.cursor ?? at.acked_seq
        return pump.start(pump.tracked ? cursor : at.inbox_seq, at.inbox_seq)
      } catch (error) {
        this.#log.warn({
          err: error, user_id: this.userId
        }, 'the cursor of a device could not be read and will be tried again')
        await new Promise(resolve => setTimeout(resolve, RETRY_START_MS).unref())
      }
    }
  }

  #stopPump (): void {
    const pump = this.#pump
    if (pump === undefined) return
    this.#pump = undefined
    pump.close()
    if (this.#tracked !== undefined) this.#messaging.trackedSessions.remove(this.#tracked)
    this.#tracked = undefined
    // What it leaves unacknowledged is no longer watched here: without another
    // session its push is due now, else when that one has had its time.
    if (pump.tracked && pump.ackedSeq < pump.knownSeq) {
      const { trackedSessions: sessions, overdue, graceMs } = this.#messaging
      const dueAt = new Date(Date.now() + (sessions.has(this.userId) ? graceMs : 0))
      overdue.add({ userId: this.userId, seq: pump.knownSeq, dueAt })
    }
  }

  #stopListen (): void {
    this.#stopListening?.()
    this.#stopListening = undefined
  }

  wake (events: WakeEvent[]): void {
    this.#pump?.wake(events)
  }

  live (payload: Buffer): void {
    if (this.subscriptions.qosFor(liveTopic(this.userId)) !== undefined) {
      this.writeIfFree(encodePublish(liveTopic(this.userId), payload))
    }
  }

  /** Tells the sender of a command what became of it; never queued. */
  reply (payload: Buffer): void {
    const topic = repliesTopic(this.userId)
    const qos = this.subscriptions.qosFor(topic)
    if (qos === undefined) return
    this.#write(qos === 0
      ? encodePublish(topic, payload)
      : encodePublish(topic, payload, 1, replyId(this.#replies++)))
  }

  /** PumpConnection: hands events to the socket. */
  write (events: PumpEvent[]): boolean {
    this.#trace?.written(events, this.#pump?.ackedSeq ?? 0)
    const free = this.#write(encodeEvents(inboxTopic(this.userId), events, this.#inboxQos ?? 0))
    if (!free && !this.#waitsForDrain) {
      this.#waitsForDrain = true
      this.#client.conn.once('drain', () => {
        this.#waitsForDrain = false
        this.#pump?.drained()
      })
    }
    return free
  }

  /** Writes a whole packet, or drops it when the socket is full. */
  writeIfFree (packet: Buffer): void {
    if (!this.#client.conn.writableNeedDrain) this.#write(packet)
  }

  #write (packet: Buffer): boolean {
    const { conn } = this.#client
    if (this.#closed || conn.destroyed) return true
    return conn.write(packet)
  }

  /** False: the socket is full. */
  writePacket (packet: Buffer): boolean {
    return this.#write(packet)
  }

  acknowledged (packetId: number): void {
    this.touch()
    const pump = this.#pump
    if (pump === undefined || !isInboxId(packetId)) return
    const seq = seqOfInboxId(packetId, pump.ackedSeq)
    this.#trace?.acknowledged(seq)
    pump.acknowledge(seq)
  }

  /** Resolves when the socket takes more, or is closed because it never did. */
  async drained (): Promise<void> {
    if (!this.#client.conn.writableNeedDrain || this.#closed) return
    await new Promise<void>(resolve => this.#client.waitForDrain(() => resolve()))
  }

  /** One more packet is kept for the full socket; how many there are since it filled. */
  keptForDrain (): number {
    if (this.#keptForDrain === 0) this.#client.conn.once('drain', () => { this.#keptForDrain = 0 })
    return ++this.#keptForDrain
  }

  disconnect (reason: string): void {
    this.#log.info({ user_id: this.userId, device_id: this.deviceId, reason }, 'a device is disconnected')
    this.#client.close()
  }

  /** The connection is gone. */
  close (): void {
    if (this.#closed) return
    this.#stopPump()
    this.#stopListen()
    this.#closed = true
    for (const end of this.#onClose ?? []) end()
  }

  onClose (end: () => void): void {
    if (this.#closed) end()
    else (this.#onClose ??= []).push(end)
  }

  /** It has waited for us, not we for it. */
  refreshKeepalive (): void {
    this.#client._keepaliveTimer?.refresh()
  }

  /** From now on the connection is what this token says. */
  renew (identity: Identity): void {
    this.identity = identity
    // Only they are sent packets that Aedes numbers.
    if (identity.acl !== undefined || identity.admin) keepIdsApart(this.#client)
  }

  get address (): string | undefined {
    return this.#client.address
  }

  state (): ConnectionState {
    const pump = this.#pump
    return {
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
