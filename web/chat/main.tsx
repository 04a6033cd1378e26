/** Starts the page: with alice and bob where the server gives tokens for development, else with a sign-in. */
import { signal } from '@preact/signals'
import { render } from 'preact'
import { developmentToken, readSettings, type Settings } from '../settings.ts'
import '../style/base.css'
import '../style/chat.css'
import { App, people } from './app.tsx'
import { startPerson, type Person } from './person.ts'

const root = document.getElementById('root')!
const starting = signal('')

const develop = (settings: Settings, userId: string, name: string): Promise<Person> =>
  startPerson({ userId, name, findToken: () => developmentToken({ user_id: userId, name }) }, settings)

async function start (): Promise<void> {
  const settings = await readSettings()
  render(<App settings={settings} starting={starting} />, root)
  if (!settings.developmentTokens) return
  starting.value = 'Alice and Bob are coming …'
  const [alice, bob] =
    await Promise.all([develop(settings, 'alice', 'Alice'), develop(settings, 'bob', 'Bob')])
  people.value = [alice, bob]
  starting.value = ''
  // Somebody to talk to; a direct conversation exists once for each pair.
  const { id } = await alice.client.createConversation({ type: 'direct', participant_ids: ['bob'] })
  for (const person of people.value) person.open.value ??= id
}

start().catch((error: Error) => {
  starting.value = error.message
  if (people.value.length === 0) {
    render(<p class='trouble empty' role='alert'>The page cannot start: {error.message}</p>, root)
  }
})
