/**
 * The shapes of the REST API: they check requests, type the handlers and make
 * the documentation. Named ones are components of the OpenAPI document, and
 * `refer` points to them.
 */
import { Type, type Static, type TSchema, type TUnsafe } from 'typebox'
import { USER_ID_PATTERN, USER_ID_RULE } from '../../core/identity.ts'
import { MESSAGE_TYPES, Mention } from '../../core/message-rules.ts'

export const UUID_EXAMPLE = '01980f5c-6f1e-7cc3-98a4-1d2b3c4d5e6f'

export const Uuid = Type.String({ format: 'uuid', examples: [UUID_EXAMPLE] })
export const UserId = Type.String({
  pattern: USER_ID_PATTERN, description: USER_ID_RULE, examples: ['alice']
})
export const DeviceId = Type.String({
  minLength: 1, maxLength: 128, description: 'Chosen by the device; the MQTT client id', examples: ['pixel-8']
})
export const Time =
  Type.String({ format: 'date-time', description: 'ISO 8601, UTC', examples: ['2025-07-15T09:30:00.000Z'] })
export const Seq = Type.Integer({ minimum: 0, examples: [42] })
const Status = Type.Enum(['sent', 'delivered', 'read'])
export const orNull = <T extends TSchema>(schema: T) => Type.Union([schema, Type.Null()])

export const UserById = Type.Object({ id: UserId })
/** A message, conversation or attachment named in a path. */
export const ById = Type.Object({ id: Uuid })
/** UUIDs are stored in lower case, and a client may write them as it likes. */
export const idOf = (request: { params: { id: string } }): string => request.params.id.toLowerCase()

/** Points to a schema that has an `$id`, and keeps its type; a response needs a `description`. */
export const refer = <T extends TSchema>(schema: T, description?: string): TUnsafe<Static<T>> =>
  Type.Unsafe<Static<T>>({
    $ref: `${(schema as { $id?: string }).$id}#`, ...(description === undefined ? {} : { description })
  })

export const Attachment = Type.Object({
  id: Uuid,
  content_type: Type.String({
    description: 'Found by the content, not by what the upload claimed', examples: ['image/png']
  }),
  file_name: orNull(Type.String({ examples: ['beach.png'] })),
  size: Type.Integer({ minimum: 1, description: 'Bytes', examples: [48_213] })
}, { $id: 'Attachment' })

export const Reaction = Type.Object({
  user_id: UserId,
  emoji: Type.String({ examples: ['👍'] })
}, { $id: 'Reaction' })

export const Message = Type.Object({
  id: Uuid,
  conversation_id: Uuid,
  seq: Type.Integer({ minimum: 1, description: 'Position in the conversation', examples: [7] }),
  sender_user_id: UserId,
  content: orNull(Type.String({ description: 'Null once deleted', examples: ['Hello!'] })),
  message_type: Type.Enum([...MESSAGE_TYPES]),
  status: Status,
  mentions: Type.Array(Mention),
  reply_to_id: orNull(Uuid),
  attachments: Type.Array(refer(Attachment)),
  reactions: Type.Array(refer(Reaction), { description: 'The oldest first' }),
  client_message_id: orNull(Type.String({ examples: ['c-1'] })),
  created_at: Time,
  edited_at: orNull(Time),
  deleted_at: orNull(Time)
}, { $id: 'Message' })

export const MessagePage = Type.Object({
  messages: Type.Array(refer(Message)),
  has_more: Type.Boolean()
}, { $id: 'MessagePage' })

export const MessageVersions = Type.Object({
  versions: Type.Array(Type.Object({
    version: Type.Integer({ minimum: 1, examples: [1] }),
    content: Type.String({ examples: ['Helo!'] }),
    mentions: Type.Array(Mention),
    replaced_at: Time
  }), { description: 'What the message said before its edits, the oldest first' })
}, { $id: 'MessageVersions' })

export const MessageStatus = Type.Object({
  message_id: Uuid,
  status: Type.Enum(
    ['sent', 'delivered', 'read'], { description: 'The lowest among the recipients; `sent` without any' }
  ),
  recipients: Type.Array(Type.Object({
    user_id: UserId, status: Status, delivered_at: orNull(Time), read_at: orNull(Time)
  }), {
    description: 'Times are null also where they are not kept: after 30 days, and above 32 participants'
  })
}, { $id: 'MessageStatus' })

export const Role = Type.Enum(['admin', 'member'])

export const Participant = Type.Object({
  user_id: UserId,
  name: orNull(Type.String({ examples: ['Alice'] })),
  role: Role,
  can_send_messages: Type.Boolean(),
  joined_at: Time,
  last_delivered_seq: Seq,
  last_read_seq: Seq
}, { $id: 'Participant' })

export const Conversation = Type.Object({
  id: Uuid,
  type: Type.Enum(['direct', 'group']),
  title: orNull(Type.String({ examples: ['Weekend'] })),
  created_at: Time,
  last_seq: Seq,
  last_activity_at: Time,
  muted_until: orNull(Time),
  unread_count: Type.Integer({ minimum: 0, maximum: 1000, description: '1000 means 1000 or more' }),
  last_message: orNull(refer(Message)),
  participant_count: Type.Integer({ minimum: 1, maximum: 1000, examples: [2] }),
  participants: Type.Array(refer(Participant), {
    description: 'All of them, or, when there are more than 32, oneself'
  })
}, { $id: 'Conversation' })

export const Draft = Type.Object({
  conversation_id: Uuid,
  content: Type.String({ description: 'Empty: there is none', examples: ['See you at'] }),
  updated_at: Time
}, { $id: 'Draft' })

export const DraftPage = Type.Object({
  drafts: Type.Array(refer(Draft), { description: 'By conversation' }),
  next_cursor: orNull(Type.Unsafe<string>({ ...Uuid, description: 'Null on the last page' }))
}, { $id: 'DraftPage' })

export const ParticipantPage = Type.Object({
  participants: Type.Array(refer(Participant), { description: 'By user id' }),
  next_cursor: orNull(Type.String({ description: 'Null on the last page' }))
}, { $id: 'ParticipantPage' })

export const ConversationPage = Type.Object({
  conversations: Type.Array(refer(Conversation)),
  next_cursor: orNull(Type.String({ description: 'Null on the last page' })),
  inbox: Type.Object({
    epoch: Uuid, last_seq: Seq
  }, { description: 'Read before the list: the events after `last_seq` continue this snapshot' })
}, { $id: 'ConversationPage' })

export const Event = Type.Object({
  seq: Type.Integer({ minimum: 1, description: 'Dense per user: 1, 2, 3, …', examples: [42] }),
  epoch: Uuid,
  type: Type.String({ examples: ['new_message'] })
}, { $id: 'Event', additionalProperties: true, description: 'The fields besides these depend on `type`' })

export const InboxPage = Type.Object({
  events: Type.Array(refer(Event)),
  epoch: Uuid,
  last_seq: Seq,
  has_more: Type.Boolean()
}, { $id: 'InboxPage' })

export const Platform = Type.Enum(['android', 'ios', 'web'])

export const Device = Type.Object({
  device_id: DeviceId,
  platform: orNull(Platform),
  push_token: orNull(Type.String()),
  acked_seq: orNull(Seq),
  last_seen_at: Type.Unsafe<string>({
    ...Time, description: 'While the device is connected, to the minute'
  })
}, { $id: 'Device' })

export const OwnProfile = Type.Object({
  id: UserId,
  name: orNull(Type.String({ examples: ['Alice'] })),
  avatar: orNull(Uuid)
}, { $id: 'OwnProfile' })

export const Profile = Type.Object({
  id: UserId,
  name: orNull(Type.String({ examples: ['Alice'] })),
  avatar: orNull(Uuid)
}, { $id: 'Profile' })

export const BlockPage = Type.Object({
  blocks: Type.Array(Type.Object({ user_id: UserId, created_at: Time })),
  next_cursor: orNull(Type.Unsafe<string>({ ...UserId, description: 'Null on the last page' }))
}, { $id: 'BlockPage' })

export const Presence = Type.Object({
  user_id: UserId,
  online: Type.Boolean(),
  last_seen_at: orNull(Type.Unsafe<string>({
    ...Time, description: 'When the user last came or went; null when the user was never online'
  }))
}, { $id: 'Presence' })

export const Readiness = Type.Object({
  ready: Type.Boolean(),
  dependencies: Type.Record(
    Type.String(), Type.Object({ ok: Type.Boolean(), detail: Type.Optional(Type.String()) })
  )
}, { $id: 'Readiness' })

export type Readiness = Static<typeof Readiness>

export const Problem = Type.Object({
  type: Type.String({ examples: ['about:blank'] }),
  title: Type.String({ examples: ['Not Found'] }),
  status: Type.Integer({ examples: [404] }),
  code: Type.String({ description: 'Stable; meant for programs', examples: ['conversation_not_found'] }),
  detail: Type.String({ description: 'Meant for people', examples: ['there is no such conversation'] })
}, { $id: 'Problem', description: 'RFC 9457 problem details' })

export const NAMED = [
  Attachment, Reaction, Message, MessagePage, MessageVersions, MessageStatus, Participant, ParticipantPage,
  Conversation, ConversationPage, Draft, DraftPage, Event, InboxPage, Device, OwnProfile, Profile, BlockPage,
  Presence, Readiness, Problem
]
