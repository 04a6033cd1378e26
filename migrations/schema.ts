/**
 * The shape of what Echo remembers. Rows are truth; every notice is a hint.
 *
 * Locks are taken in one order everywhere: conversations, then users (each in
 * id order), then what belongs to them. Ids of users sort by byte (collate "C"),
 * so that every node and every process agrees on that order.
 *
 * The hot tables (messages, inbox_events, delivery_status) and participant_stays carry no
 * foreign keys: their rows are only written while the rows they refer to are locked or kept.
 */
import { sql } from 'drizzle-orm'
import {
  bigint, boolean, check, customType, foreignKey, index, integer, jsonb, pgSequence, pgTable, primaryKey,
  text, timestamp, unique, uuid
} from 'drizzle-orm/pg-core'

const userId = customType<{ data: string }>({ dataType: () => 'text collate "C"' })
const tsvector = customType<{ data: string }>({ dataType: () => 'tsvector' })
const seq = (name: string) => bigint(name, { mode: 'number' })
const time = (name: string) => timestamp(name, { withTimezone: true, precision: 3, mode: 'date' })

export interface StoredSubscription { topic: string, qos: 0 | 1 | 2 }
export interface StoredMention { user_id: string, offset: number, length: number }

export const users = pgTable('users', {
  id: userId('id').primaryKey(),
  name: text('name'),
  /** When the user changed the name: tokens issued before do not change it back. */
  name_changed_at: time('name_changed_at'),
  avatar: uuid('avatar'),
  inbox_seq: seq('inbox_seq').notNull().default(0),
  acked_seq: seq('acked_seq').notNull().default(0),
  tokens_valid_after: time('tokens_valid_after'),
  last_seen_at: time('last_seen_at'),
  created_at: time('created_at').notNull().defaultNow()
}, table => [
  // Every node asks each second which users' tokens were just revoked; few users are in here.
  index('users_tokens_valid_after_index').on(table.tokens_valid_after)
    .where(sql`${table.tokens_valid_after} is not null`)
])

export const conversations = pgTable('conversations', {
  id: uuid('id').primaryKey(),
  type: text('type').$type<'direct' | 'group'>().notNull(),
  direct_key: text('direct_key'),
  title: text('title'),
  last_seq: seq('last_seq').notNull().default(0),
  last_message_id: uuid('last_message_id'),
  last_message_at: time('last_message_at'),
  last_activity_at: time('last_activity_at').notNull(),
  message_count: seq('message_count').notNull().default(0),
  /** How many are in now: moves under the conversation's lock with those who come and go. */
  participant_count: integer('participant_count').notNull().default(0),
  /** Rises with whatever changes who may send and who is to hear of it: participants, rights, blocks. */
  members_version: integer('members_version').notNull().default(0),
  created_at: time('created_at').notNull().defaultNow()
}, table => [
  unique('conversations_direct_key_unique').on(table.direct_key),
  check('conversations_type_check', sql`${table.type} in ('direct', 'group')`)
])

/** A user's present stay in a conversation, or the last one; earlier ones are in participant_stays. */
export const conversation_participants = pgTable('conversation_participants', {
  conversation_id: uuid('conversation_id').notNull(),
  user_id: userId('user_id').notNull(),
  role: text('role').$type<'admin' | 'member'>().notNull().default('member'),
  can_send_messages: boolean('can_send_messages').notNull().default(true),
  joined_at: time('joined_at').notNull(),
  joined_seq: seq('joined_seq').notNull(),
  left_at: time('left_at'),
  left_seq: seq('left_seq'),
  /** What the title was then: a former member's events show no later one. */
  left_title: text('left_title'),
  /** Everything after this message is hidden from the participant; null while the last message is not. */
  shown_seq: seq('shown_seq'),
  /** What `last_activity_at` was then: hidden messages move nothing. */
  shown_at: time('shown_at'),
  last_delivered_seq: seq('last_delivered_seq').notNull().default(0),
  last_read_seq: seq('last_read_seq').notNull().default(0),
  /** When last_read_seq rose; also where delivery_status does not say. */
  last_read_at: time('last_read_at'),
  muted_until: time('muted_until')
}, table => [
  primaryKey({ name: 'conversation_participants_pkey', columns: [table.conversation_id, table.user_id] }),
  foreignKey({
    name: 'conversation_participants_conversation_fk',
    columns: [table.conversation_id],
    foreignColumns: [conversations.id]
  }),
  foreignKey({
    name: 'conversation_participants_user_fk', columns: [table.user_id], foreignColumns: [users.id]
  }),
  index('conversation_participants_user_index').on(table.user_id, table.conversation_id)
    .where(sql`${table.left_at} is null`),
  index('conversation_participants_former_index').on(table.user_id, table.conversation_id)
    .where(sql`${table.left_at} is not null`),
  check('conversation_participants_role_check', sql`${table.role} in ('admin', 'member')`)
])

/**
 * Stays that ended before the user came back: the message n came in one if joined_seq < n <= left_seq.
 * Stays in which nothing came are not kept.
 */
export const participant_stays = pgTable('participant_stays', {
  conversation_id: uuid('conversation_id').notNull(),
  user_id: userId('user_id').notNull(),
  role: text('role').$type<'admin' | 'member'>().notNull(),
  can_send_messages: boolean('can_send_messages').notNull(),
  joined_at: time('joined_at').notNull(),
  joined_seq: seq('joined_seq').notNull(),
  left_at: time('left_at').notNull(),
  left_seq: seq('left_seq').notNull(),
  last_delivered_seq: seq('last_delivered_seq').notNull(),
  last_read_seq: seq('last_read_seq').notNull()
}, table => [
  primaryKey({
    name: 'participant_stays_pkey', columns: [table.user_id, table.conversation_id, table.left_seq]
  }),
  // Who was in when a message came (extension btree_gist). The condition holds for every row: a statement
  // that asks for one user's stays does not name it, and so takes the primary key. One that asks for those
  // of a conversation names it as text, which the primary key does not have.
  index('participant_stays_interval_index')
    .using('gist', sql`(${table.conversation_id}::text collate "C")`,
      sql`int8range(${table.joined_seq}, ${table.left_seq}, '(]')`)
    .where(sql`${table.left_seq} > ${table.joined_seq}`)
])

/** What a user has written in a conversation and not sent. It goes when they leave. */
export const drafts = pgTable('drafts', {
  user_id: userId('user_id').notNull(),
  conversation_id: uuid('conversation_id').notNull(),
  content: text('content').notNull(),
  /** When it was written down here, whatever the device's clock said. */
  updated_at: time('updated_at').notNull()
}, table => [
  primaryKey({ name: 'drafts_pkey', columns: [table.user_id, table.conversation_id] }),
  foreignKey({
    name: 'drafts_participant_fk',
    columns: [table.conversation_id, table.user_id],
    foreignColumns: [conversation_participants.conversation_id, conversation_participants.user_id]
  })
])

export const messages = pgTable('messages', {
  id: uuid('id').primaryKey(),
  conversation_id: uuid('conversation_id').notNull(),
  seq: seq('seq').notNull(),
  sender_user_id: userId('sender_user_id').notNull(),
  content: text('content'),
  message_type: text('message_type').$type<'text' | 'image' | 'video' | 'audio'>().notNull(),
  mentions: jsonb('mentions').$type<StoredMention[]>().notNull().default([]),
  reply_to_id: uuid('reply_to_id'),
  client_message_id: text('client_message_id'),
  client_fingerprint: text('client_fingerprint'),
  hidden: boolean('hidden').notNull().default(false),
  created_at: time('created_at').notNull(),
  edited_at: time('edited_at'),
  /**
   * The sender edited it after the other user had blocked them: since this time only the sender
   * sees more than a tombstone.
   */
  withdrawn_at: time('withdrawn_at'),
  deleted_at: time('deleted_at')
}, table => [
  unique('messages_conversation_seq_unique').on(table.conversation_id, table.seq),
  unique('messages_client_message_id_unique').on(table.sender_user_id, table.client_message_id),
  // What one sender said in one conversation, without passing over the others or over what is hidden.
  index('messages_sender_index').on(table.conversation_id, table.sender_user_id, table.hidden, table.seq),
  // An erasure finds who was mentioned. Messages without mentions, nearly all, are not in here.
  index('messages_mentions_index').using('gin', table.mentions.op('jsonb_path_ops'))
    .where(sql`${table.mentions} <> '[]'`)
])

/** What search finds old messages by. Messages get here some time after they were sent, in sets. */
export const message_words = pgTable('message_words', {
  message_id: uuid('message_id').primaryKey(),
  conversation_id: uuid('conversation_id').notNull(),
  words: tsvector('words').notNull()
}, table => [
  // The conversation comes first (extension btree_gin): a search costs what its own
  // conversations hold, not what all do.
  index('message_words_index').using('gin', table.conversation_id, table.words)
])

/** How far each conversation is in message_words; without a row not at all. */
export const search_progress = pgTable('search_progress', {
  conversation_id: uuid('conversation_id').primaryKey(),
  indexed_seq: seq('indexed_seq').notNull()
})

/**
 * When marks rose, for the last 30 days and in small conversations. The oldest row of a participant may
 * stand for others before it, and its time for none.
 */
export const delivery_status = pgTable('delivery_status', {
  conversation_id: uuid('conversation_id').notNull(),
  user_id: userId('user_id').notNull(),
  status: text('status').$type<'delivered' | 'read'>().notNull(),
  up_to_seq: seq('up_to_seq').notNull(),
  at: time('at').notNull(),
  client_at: time('client_at')
}, table => [
  primaryKey({
    name: 'delivery_status_pkey',
    columns: [table.conversation_id, table.user_id, table.status, table.up_to_seq]
  }),
  check('delivery_status_status_check', sql`${table.status} in ('delivered', 'read')`)
])

export const inbox_events = pgTable('inbox_events', {
  user_id: userId('user_id').notNull(),
  seq: seq('seq').notNull(),
  type: text('type').notNull(),
  conversation_id: uuid('conversation_id'),
  message_id: uuid('message_id'),
  data: jsonb('data').$type<Record<string, unknown>>(),
  created_at: time('created_at').notNull()
}, table => [
  primaryKey({ name: 'inbox_events_pkey', columns: [table.user_id, table.seq] })
])

/** Where each walk over what may be old goes on, and when the last one came to its end. */
export const expiry_progress = pgTable('expiry_progress', {
  job: text('job').primaryKey(),
  at: text('at').array().notNull().default(sql`'{}'`),
  ended_at: time('ended_at')
})

/** Of two connections of one device the one with the higher lease is the newer. */
export const device_leases = pgSequence('device_leases')

export const devices = pgTable('devices', {
  user_id: userId('user_id').notNull(),
  device_id: text('device_id').notNull(),
  platform: text('platform').$type<'android' | 'ios' | 'web'>(),
  push_token: text('push_token'),
  acked_seq: seq('acked_seq'),
  pushed_seq: seq('pushed_seq').notNull().default(0),
  pushed_at: time('pushed_at'),
  /** Later than now: so much of what a push service takes for one device is used up. */
  push_paced_until: time('push_paced_until'),
  /** When the device was last told, silently, what was read elsewhere. */
  push_cleared_at: time('push_cleared_at'),
  subscriptions: jsonb('subscriptions').$type<StoredSubscription[]>(),
  lease: seq('lease'),
  registered_at: time('registered_at'),
  /** Since when it has had what the database has, or was told that it has not. */
  synced_at: time('synced_at').notNull().defaultNow(),
  last_seen_at: time('last_seen_at').notNull().defaultNow()
}, table => [
  primaryKey({ name: 'devices_pkey', columns: [table.user_id, table.device_id] }),
  unique('devices_push_token_unique').on(table.push_token),
  foreignKey({ name: 'devices_user_fk', columns: [table.user_id], foreignColumns: [users.id] }),
  check('devices_platform_check', sql`${table.platform} in ('android', 'ios', 'web')`)
])

export const push_due = pgTable('push_due', {
  user_id: userId('user_id').primaryKey(),
  seq: seq('seq').notNull(),
  due_at: time('due_at').notNull(),
  leased_until: time('leased_until'),
  attempts: integer('attempts').notNull().default(0),
  created_at: time('created_at').notNull().defaultNow()
}, table => [
  index('push_due_due_at_index').on(table.due_at)
])

/** Users who read something that other devices of theirs still show. */
export const push_reads = pgTable('push_reads', {
  user_id: userId('user_id').primaryKey(),
  due_at: time('due_at').notNull(),
  leased_until: time('leased_until'),
  attempts: integer('attempts').notNull().default(0),
  created_at: time('created_at').notNull().defaultNow()
}, table => [
  index('push_reads_due_at_index').on(table.due_at)
])

/**
 * An uploaded file. `released_at`: from when on it may go, the file first, then the row;
 * null while something refers to it.
 */
export const attachments = pgTable('attachments', {
  id: uuid('id').primaryKey(),
  owner_user_id: userId('owner_user_id').notNull(),
  content_type: text('content_type').notNull(),
  file_name: text('file_name'),
  size: bigint('size', { mode: 'number' }).notNull(),
  created_at: time('created_at').notNull().defaultNow(),
  released_at: time('released_at')
}, table => [
  index('attachments_owner_index').on(table.owner_user_id),
  index('attachments_released_at_index').on(table.released_at).where(sql`${table.released_at} is not null`)
])

/** What was sent with which message; an attachment may be sent more than once. */
export const message_attachments = pgTable('message_attachments', {
  message_id: uuid('message_id').notNull(),
  position: integer('position').notNull(),
  attachment_id: uuid('attachment_id').notNull()
}, table => [
  primaryKey({ name: 'message_attachments_pkey', columns: [table.message_id, table.position] }),
  foreignKey({
    name: 'message_attachments_attachment_fk',
    columns: [table.attachment_id],
    foreignColumns: [attachments.id]
  }),
  index('message_attachments_attachment_index').on(table.attachment_id)
])

export const reactions = pgTable('reactions', {
  message_id: uuid('message_id').notNull(),
  user_id: userId('user_id').notNull(),
  emoji: text('emoji').notNull(),
  /** The other user had blocked this one: only this one sees the reaction. */
  hidden: boolean('hidden').notNull().default(false),
  created_at: time('created_at').notNull().defaultNow()
}, table => [
  primaryKey({ name: 'reactions_pkey', columns: [table.message_id, table.user_id, table.emoji] }),
  index('reactions_user_index').on(table.user_id, table.message_id)
])

export const blocks = pgTable('blocks', {
  blocker_user_id: userId('blocker_user_id').notNull(),
  blocked_user_id: userId('blocked_user_id').notNull(),
  created_at: time('created_at').notNull().defaultNow()
}, table => [
  primaryKey({ name: 'blocks_pkey', columns: [table.blocker_user_id, table.blocked_user_id] })
])

export const message_edits = pgTable('message_edits', {
  message_id: uuid('message_id').notNull(),
  version: integer('version').notNull(),
  content: text('content').notNull(),
  mentions: jsonb('mentions').$type<StoredMention[]>().notNull(),
  replaced_at: time('replaced_at').notNull()
}, table => [
  primaryKey({ name: 'message_edits_pkey', columns: [table.message_id, table.version] }),
  index('message_edits_mentions_index').using('gin', table.mentions.op('jsonb_path_ops'))
    .where(sql`${table.mentions} <> '[]'`)
])

/** Users whose data is to go, and how far that has got. */
export const erasures = pgTable('erasures', {
  user_id: userId('user_id').primaryKey(),
  requested_by: userId('requested_by').notNull(),
  requested_at: time('requested_at').notNull(),
  due_at: time('due_at').notNull(),
  step: text('step')
    .$type<'leave' | 'messages' | 'receipts' | 'reactions' | 'mentions' | 'retained' | 'inbox' | 'rest'>()
    .notNull(),
  at_id: uuid('at_id').notNull(),
  at_seq: seq('at_seq').notNull(),
  messages: seq('messages').notNull(),
  finished_at: time('finished_at')
}, table => [
  index('erasures_due_index').on(table.due_at).where(sql`${table.finished_at} is null`)
])

/** Whose new name has not been told in all their conversations; at rest there are none. */
export const name_changes = pgTable('name_changes', {
  user_id: userId('user_id').primaryKey(),
  /** Told in the conversations up to this one. */
  told_to: uuid('told_to').notNull(),
  told_at: time('told_at').notNull()
})

export const audit_log = pgTable('audit_log', {
  id: uuid('id').primaryKey(),
  actor_user_id: userId('actor_user_id').notNull(),
  action: text('action').notNull(),
  subject_user_id: userId('subject_user_id'),
  details: jsonb('details').$type<Record<string, unknown>>(),
  created_at: time('created_at').notNull().defaultNow()
}, table => [
  index('audit_log_created_at_index').on(table.created_at),
  index('audit_log_subject_index').on(table.subject_user_id, table.id)
])

/** At most one row: users whose sessions nobody watches any more are looked through, in id order. */
export const push_recovery = pgTable('push_recovery', {
  id: integer('id').primaryKey().default(1),
  due_at: time('due_at').notNull(),
  after_user_id: userId('after_user_id').notNull().default('')
}, table => [
  check('push_recovery_single_row_check', sql`${table.id} = 1`)
])

/**
 * One row. `inbox_floor`: events created before it may have been removed from every log. `epoch_since`: when
 * the epoch began, unless it is the first.
 */
export const meta = pgTable('meta', {
  id: integer('id').primaryKey().default(1),
  epoch: uuid('epoch').notNull().defaultRandom(),
  epoch_since: time('epoch_since'),
  inbox_floor: time('inbox_floor')
}, table => [
  check('meta_single_row_check', sql`${table.id} = 1`)
])
