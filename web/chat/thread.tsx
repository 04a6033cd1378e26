/** The open conversation. What is shown while somebody looks is read. */
import { useEffect, useRef, useState } from 'preact/hooks'
import type { ShownConversation, ShownMessage } from '@echo/client'
import { Avatar } from './avatar.tsx'
import { Composer, type About } from './composer.tsx'
import { attended, usePerson } from './context.ts'
import { MessageItem } from './message.tsx'
import { shortTime, titleOf, typingText } from './names.ts'
import { type Person } from './person.ts'

export function Thread ({ conversation }: { conversation: ShownConversation }) {
  const person = usePerson()
  const { client } = person
  const [about, setAbout] = useState<About>()
  const back = useRef<HTMLButtonElement>(null)
  const messages = client.model.messages(conversation.id)
  const byId = new Map(messages.map(message => [message.id, message]))
  const title = titleOf(person, conversation)
  useReading(person, conversation, messages)
  return (
    <section class='thread' aria-label={`${person.name}’s conversation with ${title}`}>
      <header>
        <button
          ref={back} type='button' class='plain back' aria-label='Back to the conversations'
          onClick={() => { person.open.value = undefined }}
        >
          ‹
        </button>
        <Avatar name={title} />
        <div>
          <h3>{title}</h3>
          <p class='status' aria-live='polite'>
            {typingText(person, conversation) || presenceText(person, conversation)}
          </p>
        </div>
      </header>
      <div class='messages' tabindex={0} role='region' aria-label={`Messages with ${title}`}>
        <ol>
          {conversation.has_older && (
            <li class='older'>
              <button type='button' onClick={() => client.loadOlder(conversation.id).catch(console.error)}>
                Earlier messages
              </button>
            </li>
          )}
          {messages.length === 0 && <li class='empty'>Nothing yet. Say hello to {title}.</li>}
          {messages.map((message, i) => (
            <MessageItem
              key={message.key} message={message} answered={byId.get(message.reply_to_id)}
              withName={conversation.type === 'group' &&
                messages[i - 1]?.sender_user_id !== message.sender_user_id}
              onReply={message => setAbout({ kind: 'reply', message })}
              onEdit={message => setAbout({ kind: 'edit', message })}
            />
          ))}
        </ol>
      </div>
      <Composer
        key={conversation.id} conversation={conversation} about={about} onDone={() => setAbout(undefined)}
      />
    </section>
  )
}

function presenceText ({ client }: Person, { partner_id, participant_count }: ShownConversation): string {
  if (partner_id === null) return `${participant_count} people`
  const presence = client.model.presence(partner_id)
  if (presence === undefined) return ''
  if (presence.online) return 'online'
  return presence.last_seen_at === null ? 'was never here' : `last seen ${shortTime(presence.last_seen_at)}`
}

function useReading (person: Person, { unread_count }: ShownConversation, messages: ShownMessage[]): void {
  const newest = messages.findLast(({ own, id }) => !own && id !== null)
  const looking = attended.value === person.userId
  useEffect(() => {
    if (!looking || newest === undefined || unread_count === 0) return
    const read = (): void => {
      if (!document.hidden) person.client.read(newest.id!).catch(console.error)
    }
    read()
    document.addEventListener('visibilitychange', read)
    return () => document.removeEventListener('visibilitychange', read)
  }, [looking, newest?.id, unread_count])
}
