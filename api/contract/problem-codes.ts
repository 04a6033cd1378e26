/**
 * Every problem code of the REST API, by status, with what it tells a client.
 * A route names its own codes with `problems(…)` of operations.ts. `commonCodes`
 * alone adds those that any operation of a kind may answer with.
 */
export const PROBLEM_CODES = {
  400: {
    attachment_empty: 'The file has no bytes',
    avatar_not_an_image: 'An avatar must be a picture',
    content_empty: 'A message needs content',
    content_too_long: 'The content has more than 10,000 code points',
    device_id_required: 'The header X-Device-ID must name the device that acknowledges',
    duplicate_attachment: 'A message names an attachment twice',
    file_required: 'The form must have a file: a part with a filename',
    idempotency_key_mismatch: 'Idempotency-Key and client_message_id are synonyms and must be equal',
    invalid_block: 'A user cannot block themselves',
    invalid_cursor: 'The cursor comes from another list or conversation, or two exclude each other',
    invalid_emoji: 'A reaction is exactly one emoji',
    invalid_header: 'A header is not UTF-8, or has more than 128 characters',
    invalid_muted_until: 'A mute ends at a time after 1970 in ISO 8601, or is null',
    invalid_name: 'A name has 1 to 200 code points',
    invalid_participants: 'A direct conversation has exactly one participant besides the caller',
    invalid_query: 'A search needs a word, and has at most 200 code points',
    invalid_reply: 'The message replied to is not one of this conversation that the sender can see',
    invalid_request: 'A field or parameter is missing, unknown or of the wrong shape',
    invalid_text: 'The text contains U+0000 or a lone surrogate',
    invalid_title: 'A title has at most 200 code points, and a direct conversation has none',
    invalid_user_id: 'A mention names no valid user id',
    malformed_form: 'The body is not a whole multipart form',
    malformed_json: 'The body is not JSON in UTF-8',
    mention_outside_content: 'A mention does not lie inside the content',
    one_file_required: 'The form must have exactly one file and nothing else',
    query_too_broad:
      'Too many messages match to search them all in time: add a word, or name a conversation',
    seq_beyond_end: 'The inbox ends before this seq',
    unknown_attachment: 'An attachment is not an upload of the sender that is still there',
    upload_too_slow: 'An upload takes at most 600 s, and never pauses for 30 s'
  },
  401: {
    invalid_token: 'The token is expired, revoked, malformed or not signed by the issuer',
    token_required: 'The header `Authorization: Bearer <token>` is missing'
  },
  403: {
    admin_required: 'Only an admin may do this: of the group, or by the scope of the token',
    not_a_participant: 'The caller has left the conversation or was removed',
    not_the_sender: 'Only the sender of the message may do this',
    sending_not_allowed: 'The caller may read this conversation, but not write to it'
  },
  404: {
    attachment_not_found: 'There is no such attachment, or the caller may not have it',
    conversation_not_found: 'There is no such conversation, or the caller was never in it',
    device_not_found: 'The caller has no such device',
    erasure_not_found: 'This user was never erased',
    message_not_found: 'There is no such message, or the caller cannot see it',
    participant_not_found: 'This user is not in the conversation',
    user_not_found: 'There is no such user among those whose profile the caller may see'
  },
  409: {
    client_message_id_reused: 'The client_message_id was already used for another message',
    direct_conversation: 'Title and participants of a direct conversation do not change',
    last_admin: 'A group keeps an admin: make another participant one first',
    message_deleted: 'The message has been deleted',
    too_many_blocks: 'A user blocks at most 10,000 others',
    too_many_edits: 'A message is edited at most 100 times',
    too_many_reactions: 'A message has at most 20 reactions of one user, and 1,000 in all',
    too_many_participants: 'A conversation has at most 1,000 participants'
  },
  410: {
    resync_required: 'The log does not go on from this seq: take a new snapshot'
  },
  413: {
    attachment_too_large: 'A file has at most 26,214,400 bytes',
    body_too_large: 'The body is larger than this operation accepts'
  },
  414: {
    uri_too_long: 'The address is too long'
  },
  415: {
    unsupported_media_type: 'The body has a type that this operation does not read, or is compressed'
  },
  416: {
    range_not_satisfiable: 'The range lies outside the file'
  },
  429: {
    rate_limited: 'More requests than allowed, or more than a user may have done in an hour: try again after `Retry-After` seconds',
    too_many_downloads: 'A user may have at most 16 downloads at once',
    too_many_uploads: 'A user may have at most 4 uploads at once'
  },
  500: {
    internal: 'Something went wrong on the server'
  },
  503: {
    overloaded: 'The server has more to do than it can: try again after `Retry-After` seconds',
    unavailable: 'The database is away: try again after `Retry-After` seconds'
  }
}

type CodesByStatus = typeof PROBLEM_CODES
type CodesOf = { [Status in keyof CodesByStatus]: keyof CodesByStatus[Status] }
export type ProblemCode = CodesOf[keyof CodesByStatus] & string

export const STATUS_DESCRIPTIONS: Record<keyof CodesByStatus, string> = {
  400: 'The request is wrong; `detail` says where',
  401: 'No valid token',
  403: 'The caller is a former member, or lacks the right',
  404: 'Unknown, or not visible to the caller',
  409: 'It contradicts the present state',
  410: 'No longer kept',
  413: 'The body is too large',
  414: 'The address is too long',
  415: 'The body has the wrong type, or is compressed',
  416: 'The range lies outside the file',
  429: 'Too many requests, or too many at once: try again after `Retry-After` seconds',
  500: 'Something went wrong on the server',
  503: 'Not now: try again after `Retry-After` seconds'
}

/** The traits of an operation that decide which common codes it has. */
export interface OperationTraits {
  behindToken: boolean
  hasInput: boolean
  hasParams: boolean
  readsJson: boolean
}

export function commonCodes (
  { behindToken, hasInput, hasParams, readsJson }: OperationTraits
): ProblemCode[] {
  const codes: ProblemCode[] = ['internal', 'unsupported_media_type']
  if (behindToken) codes.push('token_required', 'invalid_token', 'rate_limited', 'overloaded', 'unavailable')
  if (hasInput) codes.push('invalid_request')
  if (hasParams) codes.push('uri_too_long')
  if (readsJson) codes.push('malformed_json', 'body_too_large')
  return codes
}

export const statusOf = (code: ProblemCode): keyof CodesByStatus =>
  Number(Object.keys(PROBLEM_CODES).find(status =>
    Object.hasOwn(PROBLEM_CODES[Number(status) as keyof CodesByStatus], code))) as keyof CodesByStatus

export const meaningOf = (code: ProblemCode): string =>
  (PROBLEM_CODES[statusOf(code)] as Record<string, string>)[code]!
