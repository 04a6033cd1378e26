/**
 * What the clients of a run know: what they asked for, what they were answered,
 * and every event their devices received. Nothing in it comes from the inside.
 */
import { type DoorKind } from './devices/device.ts'
import { sameEvent, type Event } from './event.ts'

/** One message, however often it had to be sent. */
export interface Send {
  clientMessageId: string
  senderId: string
  /** One sender, one door, one conversation: what is sent here has an order. */
  lane: string
  /** 1, 2, 3, … in the lane. */
  counter: number
  conversationId: string
  content: string
  attachmentId?: string
  attempts: number
  /** A PUBACK without its reply tells that it was accepted, but not as what. */
  acceptances: Acceptance[]
}

export interface Acceptance { messageId: string | undefined, seq: number | undefined }

export interface DeviceRecord {
  userId: string
  deviceId: string
  door: Exclude<DoorKind, 'grpc'>
  /** Where its cursor was set before it first connected. */
  startSeq: number
  /** For each connection, what came, in order. */
  connections: Event[][]
  /** How often it was refused to go on where it was. */
  resyncs?: number
}

/** What gRPC tells of an event. */
export interface Told {
  type: string
  messageId: string
  conversationId: string
  content: string | undefined
}

/** A client of gRPC, whose streams have no `seq`. */
export interface StreamRecord {
  userId: string
  deviceId: string
  /** The end of the log before its first stream. */
  startSeq: number
  /** What came over each stream, in order. */
  streams: Told[][]
  /** The ids of what it has read from histories. */
  read: Set<string>
}

export interface StatusObservation { status: string, recipients: Record<string, string> }

export interface WatchedMessage {
  messageId: string
  senderId: string
  /** In the order of asking, each asked after the one before was answered; repetitions left out. */
  observations: StatusObservation[]
}

export interface Read { readerId: string, conversationId: string, seq: number }

/** One of the texts that a message was given after it was sent, in their order. */
export interface Edit { content: string, accepted: boolean }

export interface EditedMessage { messageId: string, clientMessageId: string, edits: Edit[] }

/** What one user did with one emoji on one message, in order. */
export interface ReactionRecord {
  messageId: string
  conversationId: string
  userId: string
  emoji: string
  changes: Array<{ type: 'reaction_added' | 'reaction_removed', accepted: boolean }>
}

/** A user whose erasure was asked for, and their direct conversation with one who stays. */
export interface ErasureRecord {
  userId: string
  partnerId: string
  conversationId: string
  /** All there is of what they sent. */
  contents: string[]
  messageIds: string[]
  accepted: boolean
}

/** The bound of a record that a broken system could fill without end. */
const MAX_INCIDENTS = 1_000

export class Ledger {
  /** Conversation to participants. */
  readonly members = new Map<string, ReadonlySet<string>>()
  readonly sends = new Map<string, Send>()
  readonly devices: DeviceRecord[] = []
  readonly streams: StreamRecord[] = []
  readonly watched = new Map<string, WatchedMessage>()
  /** Reads that were accepted. */
  readonly reads: Read[] = []
  /** By the message's id. */
  readonly edited = new Map<string, EditedMessage>()
  /** By message, user and emoji. */
  readonly reactions = new Map<string, ReactionRecord>()
  readonly erasures: ErasureRecord[] = []
  /** SHA-256 of what was uploaded, by the attachment's id. */
  readonly uploads = new Map<string, string>()
  /** Users without a connection, by the token with which their phone is registered. */
  readonly absent = new Map<string, string>()
  /** Every fault, as it is described. */
  readonly struck: string[] = []
  /** What was seen to go wrong on the spot: a crash, an answer that should not be. */
  readonly incidents: string[] = []
  readonly #known = new Map<string, Map<number, Event>>()

  incident (what: string): void {
    if (this.incidents.length < MAX_INCIDENTS) this.incidents.push(what)
  }

  accepted (clientMessageId: string, acceptance: Acceptance): void {
    this.sends.get(clientMessageId)?.acceptances.push(acceptance)
  }

  /** Equal events of one user are kept once: a run has millions of deliveries. */
  intern (userId: string, event: Event): Event {
    let known = this.#known.get(userId)
    if (known === undefined) this.#known.set(userId, known = new Map())
    const first = known.get(event.seq)
    if (first === undefined) known.set(event.seq, event)
    return first !== undefined && sameEvent(first, event) ? first : event
  }

  observed (watched: WatchedMessage, observation: StatusObservation): void {
    const last = watched.observations.at(-1)
    if (JSON.stringify(last) !== JSON.stringify(observation)) watched.observations.push(observation)
  }
}
