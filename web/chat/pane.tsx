/** One user's side of the page. */
import { useEffect } from 'preact/hooks'
import type { Phase } from '@echo/client'
import { attended, Side, usePerson } from './context.ts'
import { Avatar } from './avatar.tsx'
import { List } from './list.tsx'
import { OutboxList } from './outbox.tsx'
import { type Person } from './person.ts'
import { RenewToken } from './renew-token.tsx'
import { Thread } from './thread.tsx'

const PHASES: Record<Phase, string> = {
  stopped: 'stopped',
  off: 'offline: what is written waits',
  connecting: 'connecting …',
  online: 'online',
  waiting: 'no connection, tries again'
}

export const Pane = ({ person }: { person: Person }) => (
  <Side.Provider value={person}><PaneOf /></Side.Provider>
)

function PaneOf () {
  const person = usePerson()
  const { client, open, said, userId } = person
  const conversation = open.value === undefined ? undefined : client.model.conversation(open.value)
  const attend = (): void => { attended.value = userId }
  useEffect(() => {
    // A side that has one conversation only shows it at once.
    const [first, ...others] = client.model.conversations()
    if (first !== undefined && others.length === 0 && wide()) open.value ??= first.id
  }, [client.model.conversations().length])
  return (
    <section
      class={conversation === undefined ? 'pane' : 'pane reading'} aria-label={`${person.name}’s side`}
      onPointerEnter={attend} onPointerDown={attend} onFocusIn={attend}
    >
      <Top />
      <RenewToken />
      <OutboxList />
      <div class='body'>
        <List />
        {conversation === undefined
          ? <p class='thread empty'>Choose a conversation.</p>
          : <Thread key={conversation.id} conversation={conversation} />}
      </div>
      <p class='unseen' role='log' aria-live='polite'>{said.value}</p>
    </section>
  )
}

const wide = (): boolean => matchMedia('(min-width: 46rem)').matches

function Top () {
  const { client, name, userId, connection, caughtUp } = usePerson()
  const { phase, problem } = connection.value
  const isOff = phase === 'off'
  return (
    <header class='top'>
      <Avatar name={name} online={phase === 'online'} />
      <div>
        <h2>{name} <small>{userId}</small></h2>
        <p class={`phase ${phase}`} role='status' title={problem?.detail}>
          {PHASES[phase]}{caughtUp.value !== '' && ` · ${caughtUp.value}`}
        </p>
      </div>
      <button
        type='button' role='switch' class='switch' aria-checked={!isOff} aria-label={`${name}’s connection`}
        onClick={() => client.setOnline(isOff)}
      >
        <span aria-hidden='true'>{isOff ? 'Offline' : 'Online'}</span>
      </button>
    </header>
  )
}
