/** The frame of the console. What is shown stands in the address, after `#`. */
import { signal } from '@preact/signals'
import { type ComponentChildren } from 'preact'
import { useEffect, useRef } from 'preact/hooks'
import { claimsOf, type Settings } from '../settings.ts'
import { token, useToken } from './admin-api.ts'
import { Announcer } from './announcer.tsx'
import { Audit } from './audit.tsx'
import { ConfirmDialog } from './confirm.tsx'
import { Events } from './events.tsx'
import { Overview } from './overview.tsx'
import { Pushes } from './pushes.tsx'
import { Sessions } from './sessions.tsx'
import { SignIn } from './sign-in.tsx'

const PLACES = {
  overview: 'Overview', sessions: 'Sessions', events: 'Events', pushes: 'Pushes', audit: 'Audit log'
}
type Place = keyof typeof PLACES

const here = signal(placeOf(location.hash))
addEventListener('hashchange', () => { here.value = placeOf(location.hash) })

function placeOf (hash: string): { place: Place, subject: string } {
  const [place = '', subject = ''] = hash.slice(1).split('/')
  return { place: place in PLACES ? place as Place : 'overview', subject: decodeURIComponent(subject) }
}

export function App ({ settings }: { settings: Settings }) {
  const { place, subject } = here.value
  const main = useRef<HTMLElement>(null)
  const shownBefore = useRef<Place>(place)
  useEffect(() => {
    document.title = `${PLACES[place]} · Echo console`
    // Who moves by keyboard goes on in what has changed.
    if (shownBefore.current !== place) main.current?.focus()
    shownBefore.current = place
  }, [place])
  const rooms: Record<Place, () => ComponentChildren> = {
    overview: () => <Overview />,
    sessions: () => <Sessions />,
    events: () => <Events userId={subject} webSocketUrl={settings.webSocketUrl} />,
    pushes: () => <Pushes />,
    audit: () => <Audit />
  }
  return (
    <>
      <a class='skip' href='#main' onClick={event => { event.preventDefault(); main.current?.focus() }}>
        To the content
      </a>
      <header class='bar'>
        <h1>Echo <span>console</span></h1>
        {token.value !== '' && (
          <nav aria-label='Console'>
            {Object.entries(PLACES).map(([id, name]) => (
              <a key={id} href={`#${id}`} aria-current={id === place ? 'page' : undefined}>{name}</a>
            ))}
          </nav>
        )}
        {token.value !== '' && (
          <p class='row'>
            <small>{claimsOf(token.value)?.sub}</small>
            <button type='button' onClick={() => useToken('')}>Leave</button>
          </p>
        )}
      </header>
      <main ref={main} id='main' tabindex={-1}>
        {token.value === '' ? <SignIn settings={settings} /> : rooms[place]()}
      </main>
      <Announcer />
      <ConfirmDialog />
    </>
  )
}
