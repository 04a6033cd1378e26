/** Signing in with a token that somebody else has issued. */
import { useState } from 'preact/hooks'
import { claimsOf, type Settings } from '../settings.ts'
import { startPerson, type FindToken, type Person } from './person.ts'

export function SignIn ({ settings, onPerson }: { settings: Settings, onPerson: (person: Person) => void }) {
  const [error, setError] = useState<string>()
  async function enter (token: string): Promise<void> {
    const claims = claimsOf(token)
    if (claims === undefined) return setError('This is no token.')
    const { sub: userId, name = userId } = claims
    onPerson(await startPerson({ userId, name, findToken: pasted(token) }, settings))
  }
  return (
    <form
      class='pane sign-in stack' aria-label='Sign in'
      onSubmit={event => {
        event.preventDefault()
        return enter((new FormData(event.currentTarget).get('token') as string).trim())
          .catch((error: Error) => setError(error.message))
      }}
    >
      <h2>Sign in</h2>
      <p>This server takes tokens that your identity service issues. A token stays in this tab.</p>
      <label>Token <input name='token' type='password' required autocomplete='off' /></label>
      <button type='submit' class='primary'>Sign in</button>
      <p class='note'>Where the server has a secret, <code>npm run -s token -- alice</code> prints one.</p>
      {error !== undefined && <p class='trouble' role='alert'>{error}</p>}
    </form>
  )
}

/** The token that was pasted, and when it is refused the next one that is. */
const pasted = (token: string): FindToken => async (reason, { renewal }) => {
  if (reason === 'start') return token
  if (reason === 'expiring') throw new Error('only the user has a fresh token')
  return await new Promise(resolve => {
    renewal.value = another => {
      renewal.value = undefined
      resolve(another)
    }
  })
}
