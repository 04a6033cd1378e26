/**
 * CONNECT: which user, which device, and may it have what it asks for?
 *
 * Everything is decided in preConnect, where the packet can still be changed:
 * Aedes's client ids are global, so the id becomes one bound to the user, and
 * wills are checked here because Aedes checks them only when they are sent.
 *
 * While that cannot be told, because the database is away, the client waits without a CONNACK until its time
 * is up and the connection closes. Common clients take any refusal as final: MQTT.js, as it comes, never
 * connects again after CONNACK 3.
 */
import { type AuthenticateError, type Client, type ConnectPacket } from 'aedes'
import { type Logger } from 'pino'
import { AppError, findAppError } from '../../core/errors.ts'
import { type Identity } from '../../core/identity.ts'
import { checkText } from '../../core/message-rules.ts'
import { type Messaging } from '../../messaging/start.ts'
import { mayPublish } from '../access.ts'
import { asEchoClient, type EchoClient, type Refusal } from '../aedes/client.ts'
import { ClientFault } from '../connection-errors.ts'
import { DeviceConnection } from '../inbox/device-connection.ts'
import { openDevice } from '../inbox/opening.ts'
import { type ConnectionRegistry } from '../inbox/registry.ts'
import { connectsTotal } from '../metrics.ts'

const MAX_CLIENT_ID_LENGTH = 128
const MAX_KEEPALIVE_S = 1_800
/** And up to twice as long, so that those who wait do not ask at once. */
const ASK_AGAIN_MS = 1_000
const SPOKEN_VERSIONS: ReadonlySet<number> = new Set([3, 4])

export interface ConnectDeps { messaging: Messaging, registry: ConnectionRegistry, log: Logger }

type Callback = (error: Error | null, success: boolean) => void

/** Lets every CONNECT pass: why one is refused is noted for `authenticate`, which can send a CONNACK. */
export function preConnect (
  deps: ConnectDeps, aedesClient: Client, packet: ConnectPacket, done: Callback
): void {
  const client = asEchoClient(aedesClient)
  client.arrival?.connecting()
  client.introduction = { clientId: packet.clientId, user: packet.username }
  openWhenAble(deps, client, packet).then(() => done(null, true), (error: unknown) => {
    client.refusal = refusalFor(error)
    if (client.refusal !== undefined) return done(null, true)
    noteFailure(deps.messaging, client, findAppError(error)?.message ?? 'internal error')
    done(error as Error, false) // closes the connection
  })
}

/** Throws what waiting does not heal, and what has not healed when the client is gone. */
async function openWhenAble (deps: ConnectDeps, client: EchoClient, packet: ConnectPacket): Promise<void> {
  for (;;) {
    try {
      return await openConnection(deps, client, packet)
    } catch (error) {
      if (findAppError(error)?.transient !== true) throw error
      await new Promise(resolve => setTimeout(resolve, ASK_AGAIN_MS * (1 + Math.random())).unref())
      if (client.closed) throw error
    }
  }
}

async function openConnection (
  { messaging, registry, log }: ConnectDeps, client: EchoClient, packet: ConnectPacket
): Promise<void> {
  if (!SPOKEN_VERSIONS.has(packet.protocolVersion ?? 0)) {
    // Aedes refuses it [MQTT-3.1.2-2].
    return noteRefusal(messaging, client, 1, `version ${packet.protocolVersion} of MQTT is not spoken here`)
  }
  // 0 would mean a connection that is never found dead.
  packet.keepalive = Math.min(packet.keepalive || MAX_KEEPALIVE_S, MAX_KEEPALIVE_S)

  const identity = await authenticateUser(messaging, packet)
  const deviceId = checkClientId(packet)
  checkWill(identity, packet)
  await openDevice({ messaging, registry }, {
    userId: identity.userId,
    deviceId,
    clean: packet.clean === true,
    // Most stored sessions go on with their inbox; a device with `acl` is more likely a sensor.
    listens: packet.clean !== true && identity.acl === undefined,
    isOpen: () => !client.closed,
    create (found) {
      const connection = new DeviceConnection({
        client, identity, deviceId, clean: packet.clean === true, ...found, messaging, log
      })
      client.connection = connection
      packet.clientId = connection.clientId
      return connection
    }
  })
}

async function authenticateUser (messaging: Messaging, packet: ConnectPacket): Promise<Identity> {
  const identity = await messaging.authentication.authenticate(packet.password?.toString() ?? '')
  if (packet.username && packet.username !== identity.userId) {
    throw new AppError('unauthenticated', 'invalid_token', 'the user name is not the user of the token')
  }
  return identity
}

function checkClientId ({ clientId, clean }: ConnectPacket): string {
  // A device without an id has no place in the log to come back to [MQTT-3.1.3-8].
  if (clientId === '') {
    if (clean !== true) throw new RefusedClientId('an empty client id needs a clean session')
    return `anonymous-${crypto.randomUUID()}`
  }
  try {
    if (checkText(clientId, 'client id') <= MAX_CLIENT_ID_LENGTH) return clientId
  } catch (error) {
    throw new RefusedClientId((error as Error).message)
  }
  throw new RefusedClientId(`a client id has at most ${MAX_CLIENT_ID_LENGTH} characters`)
}

class RefusedClientId extends Error {}

function checkWill (identity: Identity, { will }: ConnectPacket): void {
  if (will !== undefined && !mayPublish(identity, will.topic)) {
    throw new AppError('forbidden', 'topic_not_allowed', 'the will\'s topic is not yours to publish to')
  }
}

/** Undefined: that is no refusal. */
function refusalFor (error: unknown): Refusal | undefined {
  if (error instanceof RefusedClientId) return { returnCode: 2, reason: error.message }
  const refusal = findAppError(error)
  const returnCode = refusal && RETURN_CODES[refusal.fault]
  return returnCode && { returnCode, reason: refusal!.message }
}

const RETURN_CODES: Partial<Record<AppError['fault'], Refusal['returnCode']>> =
  { unauthenticated: 4, forbidden: 5 }

export function authenticate (
  messaging: Messaging, client: Client,
  done: (error: AuthenticateError | null, success: boolean | null) => void
): void {
  const { connection, refusal } = asEchoClient(client)
  if (connection !== undefined && refusal === undefined) {
    connectsTotal.inc({ outcome: 'accepted' })
    return done(null, true)
  }
  const { returnCode, reason } = refusal ?? { returnCode: 3, reason: 'the client is gone' }
  if (refusal === undefined) noteFailure(messaging, asEchoClient(client), reason)
  else noteRefusal(messaging, asEchoClient(client), refusal.returnCode, reason)
  done(Object.assign(new ClientFault(reason), { returnCode }), null)
}

function noteRefusal (
  { refusals }: Messaging, { introduction, address }: EchoClient, code: Refusal['returnCode'] | 1,
  reason: string
): void {
  connectsTotal.inc({ outcome: 'refused' })
  refusals.note({ door: 'mqtt', address, ...introduction, code, reason })
}

function noteFailure ({ refusals }: Messaging, { introduction, address }: EchoClient, reason: string): void {
  connectsTotal.inc({ outcome: 'failed' })
  refusals.note({ door: 'mqtt', address, ...introduction, code: 'closed', reason })
}
