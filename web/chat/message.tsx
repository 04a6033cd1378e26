/** One message: whom it answers, what it says, who reacted, how far it got, and what can be done with it. */
import { useState } from 'preact/hooks'
import type { ShownMessage } from '@echo/client'
import { usePerson } from './context.ts'
import { piecesOf } from './mentions.ts'
import { nameOf, type Person } from './person.ts'
import { Picture } from './picture.tsx'
import { Ticks } from './ticks.tsx'

const EMOJI = ['👍', '❤️', '😂', '😮', '🙏']

export interface MessageProps {
  message: ShownMessage
  /** What it answers, where that is held. */
  answered?: ShownMessage
  /** In a group the sender stands above. */
  withName: boolean
  onReply: (message: ShownMessage) => void
  onEdit: (message: ShownMessage) => void
}

export function MessageItem ({ message, answered, withName, onReply, onEdit }: MessageProps) {
  const person = usePerson()
  const [isOpen, setOpen] = useState(false)
  const { own, tick, deleted_at, edited_at, created_at, error } = message
  const sender = nameOf(person, message.sender_user_id)
  const time = new Date(created_at).toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' })
  const act = (deed: (message: ShownMessage) => unknown) => () => {
    setOpen(false)
    return deed(message)
  }
  return (
    <li class={own ? 'message own' : 'message'} id={`${person.userId}-${message.key}`}>
      <div class='bubble'>
        <span class={withName && !own ? 'sender' : 'unseen'}>{own ? 'You' : sender}{!withName && ': '}</span>
        {message.reply_to_id !== null && <Quote person={person} message={answered} />}
        {message.attachments.map(attachment => <Picture key={attachment.id} {...attachment} />)}
        <p class={deleted_at === null ? 'text' : 'text deleted'}>
          {deleted_at === null ? <Text message={message} /> : 'This message was deleted.'}
        </p>
        <p class='meta'>
          {edited_at !== null && deleted_at === null && <span>edited</span>}
          <time dateTime={created_at}>{time}</time>
          {tick !== null && <Ticks tick={message.changing ? 'waiting' : tick} />}
        </p>
        <Reactions message={message} />
        {error !== null && <Failed message={message} />}
      </div>
      {message.id !== null && deleted_at === null && (
        <button
          type='button' class='more plain' aria-expanded={isOpen}
          aria-label={`What to do with “${excerpt(message)}”`} onClick={() => setOpen(!isOpen)}
        >
          ⋯
        </button>
      )}
      {isOpen && (
        <div
          class='deeds' role='group' aria-label='What to do'
          onKeyDown={event => { if (event.key === 'Escape') setOpen(false) }}
        >
          {EMOJI.map(emoji => (
            <button
              key={emoji} type='button' class='plain' aria-label={`React with ${emoji}`}
              onClick={act(() => react(person, message, emoji))}
            >
              {emoji}
            </button>
          ))}
          <button type='button' onClick={act(onReply)}>Reply</button>
          {own && <button type='button' onClick={act(onEdit)}>Edit</button>}
          {own && (
            <button type='button' class='danger' onClick={act(({ id }) => person.client.unsend(id!))}>
              Delete
            </button>
          )}
        </div>
      )}
    </li>
  )
}

export const excerpt = ({ content }: ShownMessage): string => {
  const text = content ?? 'a deleted message'
  return text.length > 60 ? `${text.slice(0, 57)}…` : text
}

function Text ({ message: { content, mentions } }: { message: ShownMessage }) {
  const { userId } = usePerson()
  return (
    <>
      {piecesOf(content ?? '', mentions).map(({ text, mentions }, i) => mentions === undefined
        ? text
        : <mark key={i} class={mentions === userId ? 'mention me' : 'mention'}>{text}</mark>)}
    </>
  )
}

const Quote = ({ person, message }: { person: Person, message?: ShownMessage }) => (
  <blockquote>
    {message === undefined
      ? 'An earlier message'
      : <><b>{nameOf(person, message.sender_user_id)}</b> {excerpt(message)}</>}
  </blockquote>
)

function Reactions ({ message }: { message: ShownMessage }) {
  const person = usePerson()
  const byEmoji = Map.groupBy(message.reactions, ({ emoji }) => emoji)
  if (byEmoji.size === 0) return null
  return (
    <p class='reactions'>
      {[...byEmoji].map(([emoji, those]) => {
        const mine = those.some(({ user_id }) => user_id === person.userId)
        const names = those.map(({ user_id }) => nameOf(person, user_id)).join(', ')
        return (
          <button
            key={emoji} type='button' aria-pressed={mine} title={names}
            aria-label={`${emoji} ${those.length}, by ${names}`}
            onClick={() => react(person, message, emoji)}
          >
            {emoji} {those.length}
          </button>
        )
      })}
    </p>
  )
}

/** Reacts, or takes the reaction back. */
async function react (
  { client, userId }: Person, { id, reactions }: ShownMessage, emoji: string
): Promise<void> {
  const there = reactions.some(reaction => reaction.user_id === userId && reaction.emoji === emoji)
  await client.react(id!, emoji, !there)
}

function Failed ({ message: { key, error } }: { message: ShownMessage }) {
  const { client } = usePerson()
  return (
    <p class='failed row' role='alert'>
      <span>Not sent: {error!.detail}</span>
      <button type='button' onClick={() => client.retry(key)}>Try again</button>
      <button type='button' onClick={() => client.discard(key)}>Discard</button>
    </p>
  )
}
