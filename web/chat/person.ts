/** A user of this page: their client, and what the page remembers of their side. */
import { signal, type Signal } from '@preact/signals'
import type { Client, ConnectionState, TokenReason } from '@echo/client'
import { type Settings } from '../settings.ts'
import { catchUps } from './catch-up.ts'

export interface Person {
  userId: string
  name: string
  client: Client
  /** Counts changes of the read model: who shows it reads this, too. */
  revision: Signal<number>
  connection: Signal<ConnectionState>
  /** The conversation that is open on this side. */
  open: Signal<string | undefined>
  /** What screen readers are told. */
  said: Signal<string>
  /** What the last return to the network brought. */
  caughtUp: Signal<string>
  /** Set while the server waits for another token of this user. */
  renewal: Signal<((token: string) => void) | undefined>
}

/** A token for this user; `reason` says why the last one is not enough. */
export type FindToken = (reason: TokenReason, person: Pick<Person, 'renewal'>) => Promise<string>

export async function startPerson (
  { userId, name, findToken }: { userId: string, name: string, findToken: FindToken }, settings: Settings
): Promise<Person> {
  // The page is there first: the client and its MQTT are four fifths of all that is loaded. Elsewhere only
  // `import type` names the client: an import of nothing but types loads the module, too.
  const { openBrowserClient } = await import('@echo/client/browser')
  const renewal: Person['renewal'] = signal(undefined)
  const client = await openBrowserClient({
    userId,
    token: reason => findToken(reason, { renewal }),
    api: location.origin,
    mqtt: settings.webSocketUrl
  })
  const person: Person = {
    userId,
    name,
    client,
    renewal,
    revision: signal(0),
    connection: signal(client.model.connection),
    open: signal(undefined),
    said: signal(''),
    caughtUp: signal('')
  }
  client.on('change', () => {
    person.revision.value++
    const partners = client.model.conversations().flatMap(({ partner_id }) => partner_id ?? [])
    if (partners.join() !== watched) client.watchPresence(partners)
    watched = partners.join()
  })
  let watched = ''
  client.on('connection', state => { person.connection.value = state })
  client.on('message', message => {
    if (message.content !== null) {
      person.said.value = `${nameOf(person, message.sender_user_id)} to ${name}: ${message.content}`
    }
  })
  catchUps(client, text => { person.caughtUp.value = text })
  await client.start()
  return person
}

/** As conversations name them; user ids are names, too. */
export function nameOf ({ userId, name, client }: Person, wanted: string): string {
  if (wanted === userId) return name
  for (const { participants } of client.model.conversations()) {
    const found = participants.find(({ user_id }) => user_id === wanted)
    if (found !== undefined) return found.name ?? capitalised(wanted)
  }
  return capitalised(wanted)
}

const capitalised = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1)
