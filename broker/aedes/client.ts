/** Aedes's client beyond its published types, and what the broker remembers of it. */
import { type AedesPublishPacket, type Client } from 'aedes'
import { type DeviceConnection } from '../inbox/device-connection.ts'
import { type Arrival } from '../transport/arrival.ts'

/** Why a CONNECT is refused; the code goes into the CONNACK [MQTT-3.2.2-6]. */
export interface Refusal { returnCode: 2 | 4 | 5, reason: string }

/** What a CONNECT said of who sends it; the client id is another one later. */
export interface Introduction { clientId: string, user: string | undefined }

export interface EchoClient extends Client {
  /** Set in preConnect, before anything else is decided. */
  connection?: DeviceConnection
  refusal?: Refusal
  introduction?: Introduction
  /** Until the CONNECT is accepted. */
  arrival?: Arrival
  /** Where the client is, as far as a balancer in between tells. */
  address?: string
  /** By filter. */
  subscriptions: Record<string, { qos: 0 | 1 | 2 }>
  /** What Aedes calls for each of them that a message matches. */
  deliver0: Deliver
  deliverQoS: Deliver
  _nextId: number
  _keepaliveTimer: NodeJS.Timeout | null
  waitForDrain (done: () => void): void
}

type Deliver = (packet: AedesPublishPacket, done: () => void) => void

/** The same object: a cast to what every client of Aedes is here. */
export const asEchoClient = (client: Client): EchoClient => client as EchoClient
