/** The conversations of a side, or what a search found in them. */
import { useState } from 'preact/hooks'
import type { Message, ShownConversation } from '@echo/client'
import { Avatar } from './avatar.tsx'
import { usePerson } from './context.ts'
import { shortTime, titleOf, typingText } from './names.ts'
import { NewConversation } from './new-conversation.tsx'
import { nameOf, type Person } from './person.ts'
import { Ticks } from './ticks.tsx'

export function List () {
  const person = usePerson()
  const [found, setFound] = useState<Message[]>()
  const [error, setError] = useState<string>()
  const conversations = person.client.model.conversations()

  async function search (q: string): Promise<void> {
    setError(undefined)
    if (q.trim() === '') return setFound(undefined)
    try {
      setFound((await person.client.search(q)).messages)
    } catch (error) {
      setError(`Search needs the server: ${(error as Error).message}`)
    }
  }

  return (
    <section class='list' aria-label={`${person.name}’s conversations`}>
      <div class='search'>
        <form
          role='search'
          onSubmit={event => {
            event.preventDefault()
            return search(new FormData(event.currentTarget).get('q') as string)
          }}
        >
          <input
            name='q' type='search' placeholder='Search' aria-label={`Search ${person.name}’s messages`}
            onInput={event => { if (event.currentTarget.value === '') setFound(undefined) }}
          />
        </form>
        <NewConversation />
      </div>
      {error !== undefined && <p class='trouble' role='alert'>{error}</p>}
      {found === undefined
        ? (
          <ul>
            {conversations.map(conversation => <Entry key={conversation.id} conversation={conversation} />)}
            {conversations.length === 0 && (
              <li class='empty'>
                {person.client.model.ready
                  ? 'No conversations yet. Begin one with +.'
                  : 'Waiting for the server …'}
              </li>
            )}
          </ul>
          )
        : <Found messages={found} onClose={() => setFound(undefined)} />}
    </section>
  )
}

function Entry ({ conversation }: { conversation: ShownConversation }) {
  const person = usePerson()
  const { id, unread_count: unread, last_message: last, draft, partner_id } = conversation
  const title = titleOf(person, conversation)
  const online = partner_id !== null && person.client.model.presence(partner_id)?.online === true
  return (
    <li>
      <button
        type='button' class='entry' aria-current={person.open.value === id ? 'true' : undefined}
        onClick={() => { person.open.value = id }}
      >
        <Avatar name={title} online={online} />
        <span class='about'>
          <span class='first'>
            <b>{title}</b>{online && <span class='unseen'>, online</span>}
            {last !== null && <small>{shortTime(last.created_at)}</small>}
          </span>
          <span class='second'>
            <span class='last'>
              {last?.tick != null && <Ticks tick={last.tick} />}
              <Preview person={person} conversation={conversation} />
            </span>
            {unread > 0 && <span class='badge'>{unread}<span class='unseen'> unread</span></span>}
            {unread === 0 && draft !== '' && <small class='draft'>Draft</small>}
          </span>
        </span>
      </button>
    </li>
  )
}

function Preview ({ person, conversation }: { person: Person, conversation: ShownConversation }) {
  const { last_message: last, type } = conversation
  const typing = typingText(person, conversation)
  if (typing !== '') return <em>{typing}</em>
  if (last === null) return <>No messages yet</>
  if (last.deleted_at !== null) return <>Deleted</>
  return <>{type === 'group' && !last.own && `${nameOf(person, last.sender_user_id)}: `}{last.content}</>
}

function Found ({ messages, onClose }: { messages: Message[], onClose: () => void }) {
  const person = usePerson()
  return (
    <>
      <p class='row between found'>
        <span role='status'>{messages.length === 0 ? 'Nothing found' : `${messages.length} found`}</span>
        <button type='button' class='plain' onClick={onClose}>Close</button>
      </p>
      <ul>
        {messages.map(message => (
          <li key={message.id}>
            <button
              type='button' class='entry'
              onClick={() => {
                person.open.value = message.conversation_id
                onClose()
                requestAnimationFrame(() => show(person, message))
              }}
            >
              <span class='about'>
                <span class='first'>
                  <b>{nameOf(person, message.sender_user_id)}</b>
                  <small>{shortTime(message.created_at)}</small>
                </span>
                <span class='last'>{message.content}</span>
              </span>
            </button>
          </li>
        ))}
      </ul>
    </>
  )
}

/** Where it is held; older ones are a few pages away. */
function show ({ userId, client }: Person, { id, conversation_id }: Message): void {
  const key = client.model.messages(conversation_id).find(message => message.id === id)?.key
  document.getElementById(`${userId}-${key}`)?.scrollIntoView({ block: 'center' })
}
