/** What the tests of delivery ask of a door: one client each, whatever it speaks. */
import { type EchoProcess } from '../../support/echo-process.ts'

export interface Door {
  name: string
  /** It acknowledges, and has a cursor. Clients of the others go on after what they have. */
  tracked: boolean
  portOf (echo: EchoProcess): number
  /** Rejects when the door refuses. */
  connect (port: number, who: Who): Promise<Client>
  /** How the door says that a connection is over, that a token does not hold, that a thing is another's. */
  says: { expired: string, revoked: string, replaced?: string, refused: string, notYours?: string }
  /** A client may show a fresh token on its connection. */
  renews: boolean
  /** A peer that is gone is missed although nothing is sent to it. */
  missesTheSilent: boolean
  /** Asks for another user's inbox; resolves with the refusal. Absent: there is no way to ask. */
  reach? (port: number, who: Who, otherId: string): Promise<string>
}

export interface Who {
  userId: string
  token: string
  deviceId?: string
  /** A client before it: this one goes on after what that one has. */
  after?: Client
  /** Misses the server soon; where the client decides how soon it is missed, that too. */
  impatient?: boolean
}

export interface Client extends AsyncDisposable {
  /** In the order they came. */
  events: ToldEvent[]
  /** In the terms of the door; undefined: it is open. */
  readonly ended: string | undefined
  /** Where the door renews: shows another token on its connection; resolves with the answer. */
  renew? (token: string): Promise<'accepted' | 'rejected'>
}

/** An event of the inbox. gRPC tells no seq. */
export interface ToldEvent {
  seq?: number
  type: string
  conversation_id?: string
  conversation?: { id: string }
  message?: { id: string, conversation_id: string, content: string }
}

/** What the new messages say, in the order they came. */
export const said = ({ events }: Pick<Client, 'events'>, conversationId?: string): string[] =>
  events.flatMap(({ type, message }) => {
    const wanted = conversationId === undefined || message?.conversation_id === conversationId
    return type === 'new_message' && wanted ? message!.content : []
  })

export const conversationOf = ({ message, conversation, conversation_id: id }: ToldEvent) =>
  message?.conversation_id ?? conversation?.id ?? id
