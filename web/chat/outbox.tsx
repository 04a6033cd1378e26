/** What the user did and the server has not confirmed yet. */
import type { OutboxEntry } from '@echo/client'
import { usePerson } from './context.ts'

export function OutboxList () {
  const { client } = usePerson()
  const entries = client.model.outbox()
  const { phase } = client.model.connection
  // While the connection stands, what waits is gone before one can read it.
  const shown = phase === 'online' ? entries.filter(({ state }) => state === 'failed') : entries
  if (shown.length === 0) return null
  return (
    <details class='outbox' open>
      <summary>Outbox <span class='badge'>{shown.length}</span></summary>
      <ol>
        {shown.map(entry => (
          <li key={entry.id}>
            <span>{textOf(entry)}</span>
            <small>{entry.state === 'failed' ? 'refused' : 'waits'}</small>
          </li>
        ))}
      </ol>
    </details>
  )
}

function textOf ({ command }: OutboxEntry): string {
  switch (command.kind) {
    case 'send': return `Send “${command.content}”`
    case 'edit': return `Edit to “${command.content}”`
    case 'unsend': return 'Delete a message'
    case 'react': return command.on ? `React with ${command.emoji}` : `Take ${command.emoji} back`
    case 'read': return 'Mark as read'
  }
}
