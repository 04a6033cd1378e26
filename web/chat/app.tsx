/** Two users side by side; on a narrow screen one at a time. */
import { signal, type Signal } from '@preact/signals'
import { useEffect } from 'preact/hooks'
import { type Settings } from '../settings.ts'
import { attended } from './context.ts'
import { Pane } from './pane.tsx'
import { type Person } from './person.ts'
import { SignIn } from './sign-in.tsx'

export const people = signal<Person[]>([])
const SIDES = 2

export function App ({ settings, starting }: { settings: Settings, starting: Signal<string> }) {
  const sides = people.value
  const shown = attended.value || sides[0]?.userId
  // Who has signed in looks at what is theirs. Of two sides that are there by themselves, nobody knows.
  useEffect(() => {
    if (!settings.developmentTokens) attended.value ||= sides[0]?.userId ?? ''
  }, [sides.length])
  const unread = sides.reduce((sum, person) => sum + unreadOf(person), 0)
  useEffect(() => { document.title = unread === 0 ? 'Echo' : `(${unread}) Echo` }, [unread])
  return (
    <>
      <header class='bar'>
        <h1>Echo</h1>
        <p class='note'>
          {settings.developmentTokens
            ? 'Two users, two devices, one server. Switch one offline, write, and switch back.'
            : 'Messages on the server that answers this page.'}
        </p>
        <nav aria-label='More'><a href='/console'>Console</a> <a href='/docs'>API</a></nav>
      </header>
      {sides.length > 1 && (
        <div class='sides' role='group' aria-label='Whose side to show'>
          {sides.map(person => (
            <button
              key={person.userId} type='button' aria-pressed={shown === person.userId}
              onClick={() => { attended.value = person.userId }}
            >
              {person.name} <Unread person={person} />
            </button>
          ))}
        </div>
      )}
      <main>
        {starting.value !== '' && <p class='empty' role='status'>{starting.value}</p>}
        {sides.map(person => (
          <div key={person.userId} class={shown === person.userId ? 'side shown' : 'side'}>
            <Pane person={person} />
          </div>
        ))}
        {!settings.developmentTokens && sides.length < SIDES && (
          <div class='side shown'>
            <SignIn
              key={sides.length} settings={settings}
              onPerson={person => {
                if (people.value.every(({ userId }) => userId !== person.userId)) {
                  people.value = [...people.value, person]
                }
              }}
            />
          </div>
        )}
      </main>
    </>
  )
}

/** Whoever shows it shows it anew with every change. */
const unreadOf = ({ client, revision }: Person): number => revision.value < 0 ? 0 : client.model.unread()

function Unread ({ person }: { person: Person }) {
  const unread = unreadOf(person)
  return unread === 0 ? null : <span class='badge'>{unread}<span class='unseen'> unread</span></span>
}
