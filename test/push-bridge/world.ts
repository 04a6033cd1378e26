/** Users who talk, phones that sleep, and a bridge whose clock can be moved. */
import { randomBytes } from 'node:crypto'
import pino from 'pino'
import { type MessageDraft } from '../../core/message-rules.ts'
import { type MessageView } from '../../core/views.ts'
import { startMessaging, type Messaging } from '../../messaging/start.ts'
import { type Push, type PushResult, type PushSender } from '../../push-bridge/sender.ts'
import { startPushBridge, type PushBridgeDeps } from '../../push-bridge/start.ts'
import { openDatabase, type Database } from '../../store/database.ts'
import { registerDevice } from '../../store/people/devices.ts'
import { recoveryWanted } from '../../store/push/recovery.ts'
import { createDatabase } from '../support/database.ts'
import { SECRET } from '../support/tokens.ts'
import { until } from '../support/until.ts'

export interface DueRow {
  user_id: string
  seq: number
  due_at: Date
  leased_until: Date | null
  attempts: number
}

export interface World extends AsyncDisposable {
  database: Database
  messaging: Messaging
  /** What the bridges and the messaging logged. */
  logged: Array<Record<string, unknown>>
  now (): number
  skip (ms: number): void
  /** Resolves when it has looked for what a crash left. It closes with the world, if not before. */
  bridge (sender: PushSender, deps?: Partial<PushBridgeDeps>): Promise<AsyncDisposable>
  direct (a: string, b: string): Promise<string>
  group (title: string, ...members: string[]): Promise<string>
  phone (userId: string, token?: string, deviceId?: string): Promise<string>
  say (
    from: string, conversationId: string, content: string, draft?: Partial<MessageDraft>
  ): Promise<MessageView>
  sql<Row = unknown> (text: string, ...values: unknown[]): Promise<Row[]>
  due (userId: string): Promise<DueRow | undefined>
  /** Resolves when no user is due any more. */
  settled (): Promise<void>
}

export async function createWorld (): Promise<World> {
  const file = await createDatabase()
  const logged: Array<Record<string, unknown>> = []
  const log = pino({
    level: 'debug'
  }, { write: (line: string) => { logged.push(JSON.parse(line) as Record<string, unknown>) } })
  const database = openDatabase(file.url)
  const messaging = await startMessaging({
    database, authentication: { key: { kind: 'secret', secret: SECRET } }, graceMs: 10_000, log
  })
  const bridges: AsyncDisposable[] = []
  let offsetMs = 0
  let statements = 0
  const now = (): number => Date.now() + offsetMs

  const sql = async <Row>(text: string, ...values: unknown[]): Promise<Row[]> =>
    await database.autocommit.rows<Row>({ name: `test_${++statements}`, text }, values)
  const due = async (userId: string): Promise<DueRow | undefined> =>
    (await sql<DueRow>(
      'select user_id, seq, due_at, leased_until, attempts from push_due where user_id = $1', userId
    ))[0]

  return {
    database,
    messaging,
    logged,
    now,
    skip (ms) { offsetMs += ms },
    bridge: async (sender, { options, ...deps } = {}) => {
      const bridge = await startPushBridge({
        database,
        epoch: () => messaging.epoch,
        sender,
        log,
        graceMs: 10_000,
        onPushDue: messaging.onPushDue,
        now,
        random: () =>
          0,
        options: { pollMs: 20, ...options },
        ...deps
      })
      bridges.push(bridge)
      await until(async () => !await recoveryWanted(database.autocommit), 'what was lost is recovered')
      return bridge
    },
    direct: async (a, b) => {
      await ensure(database, a)
      return (await messaging.conversations.create(
        a, { type: 'direct', participant_ids: [b] }
      )).conversation.id
    },
    group: async (title, creator, ...others) => {
      await ensure(database, creator!)
      return (await messaging.conversations.create(
        creator!, { type: 'group', participant_ids: others, title }
      )).conversation.id
    },
    phone: async (userId, pushToken = randomBytes(8).toString('hex'), deviceId = 'phone') => {
      await ensure(database, userId)
      await database.transact(tx => registerDevice(tx, userId, deviceId, { platform: 'android', pushToken }))
      return pushToken
    },
    say: async (from, conversationId, content, draft = {}) =>
      (await messaging.sends.send({
        senderId: from, draft: { conversation_id: conversationId, content, message_type: 'text', ...draft }
      })).message,
    sql,
    due,
    settled: async () => {
      await until(
        async () => (await sql('select 1 from push_due')).length === 0, 'no user is due'
      )
    },
    async [Symbol.asyncDispose] () {
      await Promise.all(bridges.map(bridge => bridge[Symbol.asyncDispose]()))
      await messaging[Symbol.asyncDispose]()
      await database[Symbol.asyncDispose]()
      await file[Symbol.asyncDispose]()
    }
  }
}

async function ensure (database: Database, id: string): Promise<void> {
  await database.autocommit.rows({
    name: 'test_ensure_user',
    text: 'insert into users (id, name) values ($1, initcap($1)) on conflict do nothing'
  }, [id])
}

export interface RecordingSender extends PushSender { pushes: Push[], bodies (): string[] }

/** Keeps what it is given; `answer` decides how the push service would answer. */
export function recordingSender (answer: (push: Push, nth: number) => PushResult | Promise<PushResult> = () =>
  ({ outcome: 'ok' })): RecordingSender {
  const pushes: Push[] = []
  return {
    pushes,
    bodies: () => pushes.map(push => push.body ?? '(silent)'),
    send: async batch => await Promise.all(batch.map(async push => await answer(push, pushes.push(push))))
  }
}

/** The same database, with something that happens after each statement of this name. */
export function after (database: Database, statement: string, happen: () => Promise<void>): Database {
  return {
    ...database,
    autocommit: {
      orm: database.autocommit.orm,
      rows: async <Row>(asked: { name: string, text: string }, values: unknown[]) => {
        const rows = await database.autocommit.rows<Row>(asked, values)
        if (asked.name === statement) await happen()
        return rows
      }
    }
  }
}

/** An answer of the push service that comes when the test says so. */
export function createAnswer (): { promise: Promise<PushResult>, resolve: (result: PushResult) => void } {
  let resolve!: (result: PushResult) => void
  const promise = new Promise<PushResult>(_resolve => { resolve = _resolve })
  return { promise, resolve }
}
