/**
 * Attachments: who uploaded which file, what it was sent with, and who may have it.
 * The files are in `files/`.
 *
 * `released_at` is from when on a file may go. Uploads have one in the future until
 * something refers to them (a message, an avatar); null means that something does.
 * Once it has passed it is final: nothing can refer to the attachment any more, so its
 * file can be removed while no transaction waits for it.
 *
 * Locks: after conversations and users, in id order.
 */
import { type AttachmentView } from '../core/views.ts'
import { type Executor, type Statement } from './database.ts'

export interface NewAttachment { id: string, ownerId: string, contentType: string, fileName: string | null }

const RESERVE: Statement = {
  name: 'attachments_reserve',
  text: `
    insert into attachments (id, owner_user_id, content_type, file_name, size, released_at)
    values ($1, $2, $3, $4, 0, clock_timestamp() + make_interval(secs => $5))`
}

/** Reserves an id for `seconds`: the row by which an unfinished file can be found. */
export async function reserveAttachment (
  db: Executor, { id, ownerId, contentType, fileName }: NewAttachment, seconds: number
): Promise<void> {
  await db.rows(RESERVE, [id, ownerId, contentType, fileName, seconds])
}

const COMPLETE: Statement = {
  name: 'attachments_complete',
  text: `
    update attachments
       set size = $2, released_at = clock_timestamp() + make_interval(secs => $3)
     where id = $1 and released_at > clock_timestamp()
    returning id`
}

/** The file is whole; it may be sent for `seconds`. False when the reservation has run out. */
export async function completeAttachment (
  db: Executor, id: string, size: number, seconds: number
): Promise<boolean> {
  return (await db.rows(COMPLETE, [id, size, seconds])).length > 0
}

const REMOVE: Statement =
  { name: 'attachments_remove', text: 'delete from attachments where id = any($1::uuid[])' }

/** Their files must be gone, and nothing may refer to them. */
export async function removeAttachments (db: Executor, ids: string[]): Promise<void> {
  if (ids.length > 0) await db.rows(REMOVE, [ids])
}

// The column keeps milliseconds and would round up: a claimed attachment could be
// sent until the clock gets there.
const CLOCK_DOWN = "date_trunc('milliseconds', clock_timestamp())"
const CLOCK: Statement = { name: 'attachments_clock', text: `select ${CLOCK_DOWN}::text as now` }

/** The time by which releases are measured. */
export async function releaseClock (db: Executor): Promise<string> {
  return (await db.rows<{ now: string }>(CLOCK, []))[0]!.now
}

// Index: attachments_released_at_index. A transaction that sends or shows one of these has
// its lock, or has read that it is released.
const CLAIM: Statement = {
  name: 'attachments_claim',
  text: `
    with claimed as materialized (
      select a.id
        from attachments a
       where a.released_at < $1::timestamptz
         and not exists (select 1 from message_attachments m where m.attachment_id = a.id)
         and not exists (select 1 from users u where u.id = a.owner_user_id and u.avatar = a.id)
       order by a.released_at
       limit $2
         for update skip locked
    )
    update attachments a
       set released_at = ${CLOCK_DOWN}
      from claimed
     where a.id = claimed.id
    returning a.id`
}

/**
 * Takes up to `limit` attachments that were released before `before`, the longest waiting first.
 * They count as released now, which puts them behind all others: one whose file cannot be removed
 * does not hold up the rest.
 */
export async function claimReleased (db: Executor, before: string, limit: number): Promise<string[]> {
  return (await db.rows<{ id: string }>(CLAIM, [before, limit])).map(row => row.id)
}

export interface OwnAttachment extends AttachmentView { owner_user_id: string }

const SENDABLE: Statement = {
  name: 'attachments_sendable',
  text: `
    select id, owner_user_id, content_type, file_name, size
      from attachments
     where id = any($1::uuid[]) and (released_at is null or released_at > clock_timestamp())`
}

/** Those that something may refer to. */
export async function readAttachments (tx: Executor, ids: string[]): Promise<Map<string, OwnAttachment>> {
  const rows = ids.length === 0 ? [] : await tx.rows<OwnAttachment>(SENDABLE, [ids])
  return new Map(rows.map(row => [row.id, row]))
}

// A row that another transaction is about to release is waited for, and the condition looked at again.
const LOCK_KEPT = `
      select a.id
        from attachments a
       where a.id = any($1::uuid[]) and (a.released_at is null or a.released_at > clock_timestamp())
       order by a.id
         for no key update`

const ATTACH: Statement = {
  name: 'attachments_attach',
  text: `
    with locked as materialized (${LOCK_KEPT}
    ), kept as (
      update attachments a
         set released_at = null
        from locked
       where a.id = locked.id and a.released_at is not null
    )
    insert into message_attachments (message_id, position, attachment_id)
    select v.message_id, v.position, v.attachment_id
      from unnest($2::uuid[], $3::int[], $4::uuid[]) as v (message_id, position, attachment_id)
      join locked on locked.id = v.attachment_id
    returning 1`
}

export interface SentAttachment { messageId: string, position: number, attachmentId: string }

/**
 * Writes what is sent with which message. False when one has been released since it
 * was read: the transaction must then be rolled back.
 */
export async function attachToMessages (tx: Executor, sent: SentAttachment[]): Promise<boolean> {
  const written = await tx.rows(ATTACH, [
    [...new Set(sent.map(s => s.attachmentId))],
    sent.map(s => s.messageId), sent.map(s => s.position), sent.map(s => s.attachmentId)
  ])
  return written.length === sent.length
}

// Indexes: message_attachments_pkey, attachments_pkey.
const DETACH: Statement = {
  name: 'attachments_detach',
  text: `
    with taken as (
      delete from message_attachments where message_id = any($1::uuid[]) returning attachment_id
    )
    select a.id
      from attachments a
     where a.id in (select attachment_id from taken)
     order by a.id
       for no key update`
}

// Index: message_attachments_attachment_index. A statement of its own: it sees what was
// sent before this transaction had the lock.
const RELEASE: Statement = {
  name: 'attachments_release',
  text: `
    update attachments a
       set released_at = $2::timestamptz
     where a.id = any($1::uuid[]) and a.released_at is null
       and not exists (select 1 from message_attachments m where m.attachment_id = a.id)
       and not exists (select 1 from users u where u.id = a.owner_user_id and u.avatar = a.id)`
}

/**
 * Takes their attachments from messages; what nothing else refers to is released,
 * and its file goes soon after.
 */
export async function releaseAttachments (tx: Executor, messageIds: string[], at: Date): Promise<void> {
  const locked = await tx.rows<{ id: string }>(DETACH, [messageIds])
  if (locked.length > 0) await tx.rows(RELEASE, [locked.map(row => row.id), at])
}

const LOCK: Statement = { name: 'attachments_lock', text: LOCK_KEPT }
const KEEP: Statement = {
  name: 'attachments_keep',
  text: 'update attachments set released_at = null where id = $1 and released_at is not null'
}
const SET_AVATAR: Statement =
  { name: 'attachments_set_avatar', text: 'update users set avatar = $2 where id = $1' }

/**
 * Changes the avatar of a user; this transaction must have locked the user. The earlier avatar
 * is released when nothing else refers to it. False when the new one is released.
 */
export async function replaceAvatar (
  tx: Executor, userId: string, earlier: string | null, avatar: string | null, at: Date
): Promise<boolean> {
  const ids = [earlier, avatar].filter(id => id !== null)
  const locked = await tx.rows<{ id: string }>(LOCK, [ids])
  if (avatar !== null && !locked.some(row => row.id === avatar)) return false
  await tx.rows(SET_AVATAR, [userId, avatar])
  if (avatar !== null) await tx.rows(KEEP, [avatar])
  if (earlier !== null) await tx.rows(RELEASE, [[earlier], at])
  return true
}

// Indexes: attachments_pkey, message_attachments_attachment_index, messages_pkey,
// conversation_participants_pkey, conversations_direct_key_unique. Deleted messages have
// no rows in message_attachments.
const FOR_READER: Statement = {
  name: 'attachments_for_reader',
  text: `
    select a.id, a.content_type, a.file_name, a.size,
           (a.owner_user_id = $2 and a.size > 0 and a.released_at > now())
           or coalesce(seen.present, false)
           or exists (
             select 1
               from users u
              where u.id = a.owner_user_id and u.avatar = a.id
                and (u.id = $2 or exists (
                      select 1
                        from conversations c
                       where c.direct_key in ($2 || '/' || u.id, u.id || '/' || $2)))) as readable,
           coalesce(seen.left_since, false) as left_since
      from attachments a
      left join lateral (
        select bool_or(p.left_at is null) as present, bool_or(m.seq <= p.left_seq) as left_since
          from message_attachments ma
          join messages m on m.id = ma.message_id
          join conversation_participants p on p.conversation_id = m.conversation_id and p.user_id = $2
         where ma.attachment_id = a.id
           and m.deleted_at is null and m.seq > p.joined_seq
           and ((not m.hidden and m.withdrawn_at is null) or m.sender_user_id = $2)) as seen on true
     where a.id = $1`
}

export type AttachmentForReader = AttachmentView & {
  readable: boolean
  /** The reader has left a conversation in which they could see it. */
  left_since: boolean
}

export async function findAttachment (
  db: Executor, id: string, readerId: string
): Promise<AttachmentForReader | undefined> {
  const [row] = await db.rows<AttachmentForReader>(FOR_READER, [id, readerId])
  return row
}
