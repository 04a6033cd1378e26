/**
 * PUBLISH: a command to the own outbox, or a topic granted by `acl`.
 *
 * Aedes sends the PUBACK as soon as this says yes, so a command is decided here
 * and nowhere else: committed, or refused for good. A failure that may pass is
 * an error, which closes the connection without a PUBACK; the client sends again.
 */
import { type Client, type PublishPacket } from 'aedes'
import { type Logger } from 'pino'
import { readCommand } from '../../core/commands.ts'
import { failureLevel } from '../../core/errors.ts'
import { decideCommand, type Reply } from '../../messaging/commands.ts'
import { type Messaging } from '../../messaging/start.ts'
import { isOwnOutbox, mayPublish } from '../access.ts'
import { sign } from '../acl/retained.ts'
import { type AclTopics } from '../acl/topics-memory.ts'
import { asEchoClient } from '../aedes/client.ts'
import { willOf } from '../aedes/persistence.ts'
import { ClientFault, levelOf } from '../connection-errors.ts'
import { decideInOrder } from '../inbox/commands-in-order.ts'
import { type DeviceConnection } from '../inbox/device-connection.ts'
import { type RateLimit } from '../limits/rate.ts'

type Callback = (error?: Error | null) => void

export interface PublishDeps {
  messaging: Messaging
  log: Logger
  commandRate: RateLimit
  /** Of topics granted by `acl`. */
  topicRate: RateLimit
  /** What outlives a connection of them. */
  topics: Pick<AclTopics, 'keep' | 'takeWill'>
}

export function authorizePublish (
  deps: PublishDeps, client: Client | null, packet: PublishPacket, done: Callback
): void {
  const { log, topicRate, topics } = deps
  if (client === null) return done(null) // a will of a client that is gone, checked at its CONNECT
  const { connection } = asEchoClient(client)
  if (connection === undefined) return done(new ClientFault('not connected'))
  connection.touch()
  if (isOwnOutbox(connection.identity, packet.topic)) return runCommand(deps, connection, packet, done)
  if (mayPublish(connection.identity, packet.topic)) {
    sign(packet, client)
    if (client.closed) return publishWill(deps, connection, packet, done)
    // With QoS 2 it is kept together with its identifier.
    const keep = (): Promise<void> | undefined => packet.qos === 1 ? topics.keep(packet) : undefined
    const token = topicRate.take(connection.userId, connection)
    const ready = token?.then(() => {
      connection.refreshKeepalive()
      return keep()
    }) ?? keep()
    if (ready === undefined) return done(null)
    ready.then(() => done(null), done)
    return
  }
  log.info({ user_id: connection.userId, topic: packet.topic }, 'a publish was refused')
  done(new ClientFault('the topic is not yours to publish to'))
}

function publishWill (
  { topics, log }: PublishDeps, connection: DeviceConnection, will: PublishPacket, done: Callback
): void {
  topics.takeWill(willOf(connection)).then(async mine => {
    if (!mine) throw new ClientFault('the will is published by another process')
    if (will.qos > 0) await topics.keep(will)
    done(null)
  }).catch((error: unknown) => {
    log[levelOf(error)]({ err: error, client_id: connection.clientId }, 'a will is not published here')
    done(error as Error)
  })
}

function runCommand (
  { messaging, log, commandRate }: PublishDeps, connection: DeviceConnection, packet: PublishPacket,
  done: Callback
): void {
  packet.retain = false
  if (connection.undecided) return done(new Error('a command before this one could not be decided'))
  const decide = (): Promise<Reply | undefined> => decideCommand(messaging, {
    door: 'mqtt',
    identity: connection.identity,
    deviceId: connection.clean ? undefined : connection.deviceId,
    renew: identity => connection.renew(identity),
    skipTo: seq => connection.ownTopics.delivery?.pump.skipTo(seq)
  }, readCommand(packet.payload as Buffer))
  const waited = (): void => {
    // It has no PUBACK, so the client sends it again.
    if (connection.closed && packet.qos > 0) {
      throw new ClientFault('the connection closed before the command was decided')
    }
    connection.refreshKeepalive()
  }
  decideInOrder(commandRate, connection, decide, waited).then(() => done(null), (error: unknown) => {
    log[failureLevel(error)](
      { err: error, user_id: connection.userId }, 'a command could not be decided; its connection closes'
    )
    // The PUBACK of the command before this one is written first.
    setImmediate(done, error instanceof Error ? error : new Error('the command failed', { cause: error }))
  })
}
