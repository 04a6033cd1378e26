/**
 * A client of gRPC at any API. A stream tells what happens from its beginning on; what came before it, since
 * the last one, the client reads from the histories of its conversations, back to what it has.
 */
import { type ClientReadableStream } from '@grpc/grpc-js'
import { grpcClient, refusalOf, type GrpcClient, type Refusal } from '../../support/grpc-client.ts'
import { type MessageEvent__Output } from '../../../api/grpc/generated/message/MessageEvent.ts'
import { type Node } from '../cluster.ts'
import { carriesMessage } from '../event.ts'
import { type Ledger, type StreamRecord, type Told } from '../ledger.ts'
import { type Random } from '../random.ts'
import { type Rest } from '../rest.ts'
import { openSwitchboard } from '../switchboard.ts'
import { type DeviceConnection, type DeviceDoor } from './device.ts'

const OPEN_TIMEOUT_MS = 12_000
const CALL_TIMEOUT_MS = 10_000
const PAGE = 100
const CONVERSATIONS = 100

export interface GrpcDoorOptions {
  record: StreamRecord
  token: string
  apis: Node[]
  random: Random
  ledger: Ledger
  rest: Rest
}

/** What no fault explains. */
const WRONG = new Set<Refusal['status']>([
  'INVALID_ARGUMENT', 'NOT_FOUND', 'ALREADY_EXISTS', 'PERMISSION_DENIED', 'UNAUTHENTICATED', 'UNIMPLEMENTED',
  'FAILED_PRECONDITION', 'OUT_OF_RANGE', 'DATA_LOSS'
])
/** With a code it comes from Echo, else it is what grpc-js makes of a socket that broke. */
export const isWrong = ({ status, code }: Refusal): boolean =>
  WRONG.has(status) || (status === 'INTERNAL' && code !== undefined)

export function grpcDoor ({ record, token, apis, random, ledger, rest }: GrpcDoorOptions): DeviceDoor {
  const { userId, deviceId } = record
  /** Of each conversation the message up to which all are known. */
  const knownUpTo = new Map<string, string>()
  const known = new Set<string>()
  let whole = false
  let again = 0

  async function open (): Promise<DeviceConnection> {
    // A socket of its own, which may go without a word.
    const line = await openSwitchboard()
    line.lead(random.pick(apis).grpcPort)
    const client = grpcClient(line.port, token)
    const call = client.follow({ user_id: userId }, { metadata: { 'x-device-id': deviceId } })
    const told: Told[] = []
    call.on('data', event => { if (!connection.closed) hear(event, told) })
    call.on('error', error => noteEnd(refusalOf(error)))
    const connection = new GrpcConnection(call, async () => {
      client[Symbol.dispose]()
      await line[Symbol.asyncDispose]()
    })
    await connection.begun
    record.streams.push(told)
    whole = false
    readMissed(client, connection).catch((error: unknown) => note((error as Error).message))
    return connection
  }

  const note = (what: string): void => ledger.incident(`${userId}/${deviceId}: ${what}`)

  function noteEnd (refusal: Refusal): void {
    if (isWrong(refusal)) note(`the stream ended with ${refusal.status} ${refusal.details}`)
  }

  function hear ({ type, message }: MessageEvent__Output, told: Told[]): void {
    if (message === null) return // resync_required
    const { id, conversation_id: conversationId, content } = message
    told.push({ type, messageId: id, conversationId, content: content === '' ? undefined : content })
    if (!carriesMessage({ type })) return
    if (known.has(id)) again++
    known.add(id)
    if (whole) knownUpTo.set(conversationId, id)
  }

  /** From here on all is known, and what the stream tells follows it. */
  async function readMissed (client: GrpcClient, connection: GrpcConnection): Promise<void> {
    const newest = new Map<string, string>()
    for (const conversationId of await conversations()) {
      const id = await readBack(client, connection, conversationId)
      if (connection.closed) return
      if (id !== undefined) newest.set(conversationId, id)
    }
    for (const [conversationId, id] of newest) knownUpTo.set(conversationId, id)
    whole = true
  }

  async function conversations (): Promise<string[]> {
    const ids: string[] = []
    for (let cursor = ''; ;) {
      const { conversations, next_cursor } =
        await rest.mustGet(userId, `/conversations?limit=${CONVERSATIONS}${cursor}`)
      ids.push(...conversations.map(({ id }: { id: string }) => id))
      if (next_cursor === null) return ids
      cursor = `&cursor=${encodeURIComponent(next_cursor)}`
    }
  }

  /** Resolves with the newest message; undefined: there is none, or the connection has ended. */
  async function readBack (
    client: GrpcClient, connection: GrpcConnection, conversation_id: string
  ): Promise<string | undefined> {
    const until = knownUpTo.get(conversation_id)
    let newest: string | undefined
    for (let before_id: string | undefined; !connection.closed;) {
      try {
        const { messages, has_more } = await client.getMessages(
          { conversation_id, limit: PAGE, before_id }, { deadline: Date.now() + CALL_TIMEOUT_MS }
        )
        const ids = messages.map(({ id }: { id: string }) => id)
        newest ??= ids[0]
        for (const id of ids) {
          record.read.add(id)
          known.add(id)
        }
        if (has_more !== true || ids.includes(until)) return newest
        before_id = ids.at(-1)
      } catch (error) {
        const refusal = refusalOf(error)
        if (isWrong(refusal)) {
          throw new Error(`GetMessages was answered ${refusal.status} ${refusal.code} ${refusal.details}`)
        }
        await rest.pause()
      }
    }
    return undefined
  }

  return {
    kind: 'grpc',
    takesCommands: false,
    newest: undefined,
    open,
    caughtUp: ({ tail }) =>
      whole && tail.every(event => !carriesMessage(event) || known.has(event.messageId!)),
    counts: () => ({ received: record.streams.reduce((n, told) => n + told.length, 0), again })
  }
}

class GrpcConnection implements DeviceConnection {
  closed = false
  /** Rejects when there is no stream. */
  readonly begun: Promise<void>
  readonly ended: Promise<void>
  readonly #call: ClientReadableStream<MessageEvent__Output>
  readonly #dispose: () => Promise<void>
  #disposed = false

  constructor (call: ClientReadableStream<MessageEvent__Output>, dispose: () => Promise<void>) {
    this.#call = call
    this.#dispose = dispose
    const timer = setTimeout(() => call.cancel(), OPEN_TIMEOUT_MS)
    this.begun = new Promise((resolve, reject) => {
      call.once('metadata', () => resolve())
      call.once('error', reject)
    })
    this.begun.then(() => clearTimeout(timer), () => clearTimeout(timer))
    this.ended = new Promise(resolve => {
      const end = (): void => {
        this.vanish()
        resolve()
      }
      call.once('close', end).once('error', end)
    })
  }

  leave (): void {
    this.closed = true
    this.#call.cancel()
  }

  vanish (): void {
    this.closed = true
    if (this.#disposed) return
    this.#disposed = true
    this.#dispose().catch(() => {}) // nothing of it can fail that matters to a device
  }

  freeze (): void { this.#call.pause() }
  thaw (): void { this.#call.resume() }

  abandon (): void {
    this.freeze()
    this.closed = true
  }
}
