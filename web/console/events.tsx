/** The events of one user as they come. Copies: they count as no delivery. */
import { useEffect, useState } from 'preact/hooks'
import { token } from './admin-api.ts'
import type { Copied, Tail } from './tail.ts'
import { clock } from './times.ts'

const KEPT = 200
const STATES = {
  connecting: 'Connecting …',
  watching: 'Watching. Newest first.',
  refused: 'The broker refused to show this.',
  lost: 'The server does not answer: load the page again.'
}

export function Events ({ userId, webSocketUrl }: { userId: string, webSocketUrl: string }) {
  return (
    <>
      <h2>Event tail</h2>
      <form
        class='row'
        onSubmit={event => {
          event.preventDefault()
          const value = new FormData(event.currentTarget).get('user') as string
          location.hash = `events/${encodeURIComponent(value.trim())}`
        }}
      >
        <label for='tail-user'>User id</label>
        <input id='tail-user' name='user' required key={userId} defaultValue={userId} autocomplete='off' />
        <button type='submit'>Watch</button>
      </form>
      {userId === ''
        ? <p class='empty'>Name a user to see what arrives in their inbox, and what is live.</p>
        : <Watched key={userId} userId={userId} webSocketUrl={webSocketUrl} />}
    </>
  )
}

function Watched ({ userId, webSocketUrl }: { userId: string, webSocketUrl: string }) {
  const [copies, setCopies] = useState<Copied[]>([])
  const [state, setState] = useState<keyof typeof STATES>('connecting')
  useEffect(() => {
    let tail: Tail | undefined
    let left = false
    // Only this view needs MQTT, which is nine tenths of the console.
    import('./tail.ts').then(({ openTail }) => {
      if (left) return
      tail = openTail({
        url: webSocketUrl,
        token: token.value,
        userId,
        onState: setState,
        onCopy: copied => setCopies(kept => [copied, ...kept].slice(0, KEPT))
      })
    }, () => setState('lost'))
    return () => {
      left = true
      tail?.close()
    }
  }, [userId])
  return (
    <>
      <p class='row between'>
        <span role='status'>{STATES[state]}</span>
        <button type='button' onClick={() => setCopies([])}>Clear</button>
      </p>
      {copies.length === 0 && state === 'watching' &&
        <p class='empty'>Nothing has come for {userId} yet.</p>}
      <ol class='tail'>
        {copies.map(copied => <Line key={copied.id} {...copied} />)}
      </ol>
    </>
  )
}

function Line ({ at, topic, payload }: Copied) {
  const { type, seq } = read(payload)
  return (
    <li>
      <details>
        <summary>
          <time>{clock(at)}</time> <b>{type ?? 'text'}</b> {seq !== undefined && <small>seq {seq}</small>}
          <code>{topic}</code>
        </summary>
        <pre>{pretty(payload)}</pre>
      </details>
    </li>
  )
}

function read (payload: string): { type?: string, seq?: number } {
  try {
    return JSON.parse(payload)
  } catch {
    return {}
  }
}

const pretty = (payload: string): string => {
  try {
    return JSON.stringify(JSON.parse(payload), null, 2)
  } catch {
    return payload
  }
}
