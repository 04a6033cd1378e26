/**
 * What happens to a message after it was sent: edits, deletion, reactions. The words by which search
 * finds it follow in the same statement (search-index.ts).
 *
 * A transaction that writes here holds the lock of the message's conversation, so what it
 * read under it stays true and changes of one message come one after another.
 */
import { asc, eq } from 'drizzle-orm'
import { message_edits, messages, type StoredMention } from '../../migrations/schema.ts'
import { type ReactionView } from '../../core/views.ts'
import { type Executor, type Statement } from '../database.ts'
import { reactionsJson } from './messages.ts'

// Indexes: messages_pkey, conversation_participants_pkey, message_edits_pkey.
const CHANGEABLE: Statement = {
  name: 'message_changes_read',
  text: `
    select m.id, m.conversation_id, m.seq as message_seq, m.sender_user_id, m.content, m.mentions, m.hidden,
           m.withdrawn_at is not null as withdrawn, m.deleted_at is not null as deleted,
           (select coalesce(max(e.version), 0) from message_edits e where e.message_id = m.id) as versions,
           p.role, p.can_send_messages, p.joined_seq, p.left_at
      from messages m
      left join conversation_participants p on p.conversation_id = m.conversation_id and p.user_id = $2
     where m.id = $1`
}

/** A message, and what the would-be actor is in its conversation. */
export interface ChangeableMessage {
  id: string
  conversation_id: string
  message_seq: number
  sender_user_id: string
  content: string | null
  mentions: StoredMention[]
  hidden: boolean
  withdrawn: boolean
  deleted: boolean
  /** How many earlier versions are kept. */
  versions: number
  role: 'admin' | 'member' | null
  can_send_messages: boolean | null
  joined_seq: number | null
  left_at: Date | null
}

export async function findChangeable (
  db: Executor, messageId: string, actorId: string
): Promise<ChangeableMessage | undefined> {
  const [row] = await db.rows<ChangeableMessage>(CHANGEABLE, [messageId, actorId])
  return row
}

// Index: conversation_participants_pkey.
const AUDIENCE: Statement = {
  name: 'message_changes_audience',
  text: `
    select p.user_id,
           c.type = 'direct' and exists (
             select 1
               from blocks b
              where b.blocker_user_id = p.user_id and b.blocked_user_id = $3) as blocks_actor
      from conversation_participants p
      join conversations c on c.id = p.conversation_id
     where p.conversation_id = $1 and p.left_seq is null and p.joined_seq < $2`
}

export interface AudienceMember {
  user_id: string
  /** In a direct conversation: has blocked the one who acts. */
  blocks_actor: boolean
}

/** Who is present and had joined when the message came; the actor is among them. */
export async function readAudience (
  tx: Executor, { conversation_id, message_seq }: ChangeableMessage, actorId: string
): Promise<AudienceMember[]> {
  return await tx.rows(AUDIENCE, [conversation_id, message_seq, actorId])
}

const EDIT: Statement = {
  name: 'message_changes_edit',
  text: `
    with kept as (
      insert into message_edits (message_id, version, content, mentions, replaced_at)
      select id, $5, content, mentions, $4 from messages where id = $1
    ), found as (
      insert into message_words (message_id, conversation_id, words)
      select id, conversation_id, to_tsvector('simple', $2::text) from messages where id = $1
      on conflict (message_id) do update set words = excluded.words
    )
    update messages
       set content = $2, mentions = $3::jsonb, edited_at = $4::timestamptz,
           withdrawn_at = case when $6 then coalesce(withdrawn_at, $4) else withdrawn_at end
     where id = $1`
}

/**
 * Puts new text in the place of the old, which becomes a version. `withdraw`: for all but the
 * sender the message is deleted from here on.
 */
export async function editMessage (tx: Executor, message: ChangeableMessage, {
  content, mentions, at, withdraw
}: {
  content: string, mentions: StoredMention[], at: Date, withdraw: boolean
}): Promise<void> {
  await tx.rows(EDIT, [message.id, content, JSON.stringify(mentions), at, message.versions + 1, withdraw])
}

const DELETE: Statement = {
  name: 'message_changes_delete',
  text: `
    with versions as (
      delete from message_edits where message_id = any($1::uuid[])
    ), reacted as (
      delete from reactions where message_id = any($1::uuid[])
    ), found as (
      insert into message_words (message_id, conversation_id, words)
      select id, conversation_id, ''::tsvector from messages where id = any($1::uuid[]) order by id
      on conflict (message_id) do update set words = excluded.words
    )
    update messages set content = null, mentions = '[]', edited_at = null, deleted_at = $2
     where id = any($1::uuid[]) and deleted_at is null`
}

/** Leaves tombstones, without words, versions and reactions. Attachments are released apart. */
export async function deleteMessages (tx: Executor, messageIds: string[], at: Date): Promise<void> {
  await tx.rows(DELETE, [messageIds, at])
}

export interface MessageVersion {
  version: number
  content: string
  mentions: StoredMention[]
  replaced_at: Date
}

/** What the message said before its edits, the oldest first. */
export async function readVersions (db: Executor, messageId: string): Promise<MessageVersion[]> {
  const { version, content, mentions, replaced_at } = message_edits
  return await db.orm.select({ version, content, mentions, replaced_at }).from(message_edits)
    .where(eq(message_edits.message_id, messageId)).orderBy(asc(version))
}

export async function findSender (db: Executor, messageId: string): Promise<string | undefined> {
  const [row] =
    await db.orm.select({ id: messages.sender_user_id }).from(messages).where(eq(messages.id, messageId))
  return row?.id
}

// Indexes, once per message: messages_pkey, conversation_participants_pkey, participant_stays_pkey,
// and, if its stay has ended, message_edits_pkey and reactions_pkey.
const WHEN_LEFT: Statement = {
  name: 'message_changes_when_left',
  text: `
    select m.id, v.content, v.mentions,
           (select b.replaced_at
              from message_edits b
             where b.message_id = m.id and b.version = v.version - 1) as edited_at,
           ${reactionsJson('m.id', '$1', 'stay.left_at')} as reactions
      from messages m
     cross join lateral (
        select p.left_at
          from conversation_participants p
         where p.conversation_id = m.conversation_id and p.user_id = $1
           and p.joined_seq < m.seq and p.left_seq >= m.seq
        union all
        select s.left_at
          from participant_stays s
         where s.conversation_id = m.conversation_id and s.user_id = $1
           and s.joined_seq < m.seq and s.left_seq >= m.seq
         limit 1) as stay
      left join lateral (
        select e.version, e.content, e.mentions
          from message_edits e
         where e.message_id = m.id and e.replaced_at > stay.left_at
         order by e.version
         limit 1) as v on true
     where m.id = any($2::uuid[])`
}

interface FormerText { content: string, mentions: StoredMention[], edited_at: Date | null }

/** `text` only where it has changed since. */
export interface FormerState { text?: FormerText, reactions: ReactionView[] }

type FormerRow = (FormerText | { content: null }) & { id: string, reactions: ReactionView[] }

/** Of these messages, those whose stay has ended for the reader, as they were then. */
export async function messagesWhenLeft (
  db: Executor, readerId: string, messageIds: string[]
): Promise<Map<string, FormerState>> {
  if (messageIds.length === 0) return new Map()
  const rows = await db.rows<FormerRow>(WHEN_LEFT, [readerId, messageIds])
  return new Map(rows.map(({ id, reactions, ...text }) =>
    [id, text.content === null ? { reactions } : { text, reactions }]))
}
