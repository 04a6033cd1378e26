/**
 * A user may leave a conversation and come back. conversation_participants has the present stay or
 * the last one, and is all that a send reads; participant_stays has those before it. A message
 * belongs to the stay in which it came: joined_seq < seq <= left_seq.
 */

/**
 * A query for these columns of everyone's stay in which the message `seq` came; the arguments are
 * expressions. Indexes: conversation_participants_pkey, participant_stays_interval_index.
 */
export const staysAt = (conversation: string, seq: string, columns: string[]): string => {
  const selected = columns.map(column => `s.${column}`).join(', ')
  return `
    select ${selected}
      from conversation_participants s
     where s.conversation_id = ${conversation}
       and s.joined_seq < ${seq} and (s.left_seq is null or s.left_seq >= ${seq})
    union all
    select ${selected}
      from participant_stays s
     where ${staysMeeting('s', conversation, `int8range(${seq}, ${seq}, '[]')`)}`
}

/** Which of participant_stays have messages among these, in terms of participant_stays_interval_index. */
export const staysMeeting = (stay: string, conversation: string, seqs: string): string =>
  `${stay}.conversation_id::text collate "C" = (${conversation})::text
       and ${stay}.left_seq > ${stay}.joined_seq
       and int8range(${stay}.joined_seq, ${stay}.left_seq, '(]') && ${seqs}`
