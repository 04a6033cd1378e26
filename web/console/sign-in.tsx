/** Who comes in: with a token that is pasted, or with one for development where the server offers that. */
import { useState } from 'preact/hooks'
import { claimsOf, developmentToken, type Settings } from '../settings.ts'
import { askAdmin, useToken } from './admin-api.ts'

export function SignIn ({ settings }: { settings: Settings }) {
  const [error, setError] = useState<string>()

  async function enter (find: () => Promise<string>): Promise<void> {
    try {
      const found = (await find()).trim()
      if (claimsOf(found) === undefined) throw new Error('This is no token.')
      await askAdmin('/statistics', 'GET', undefined, found)
      useToken(found)
    } catch (error) {
      setError((error as Error).message)
    }
  }

  return (
    <section class='sign-in'>
      <h2>Who looks?</h2>
      <p>The console needs a token of scope <code>admin</code>. It stays in this tab.</p>
      {settings.developmentTokens && (
        <p>
          <button
            type='button' class='primary'
            onClick={() => enter(() => developmentToken({ user_id: 'console', scope: 'admin' }))}
          >
            Enter as a developer
          </button>
        </p>
      )}
      <form
        onSubmit={event => {
          event.preventDefault()
          const data = new FormData(event.currentTarget)
          return enter(async () => data.get('token') as string)
        }}
      >
        <label for='admin-token'>{settings.developmentTokens ? 'or paste a token' : 'Paste a token'}</label>
        <input id='admin-token' name='token' type='password' required autocomplete='off' />
        <button type='submit' class={settings.developmentTokens ? '' : 'primary'}>Enter</button>
      </form>
      <p class='note'><code>npm run -s token -- root --scope admin</code> prints one.</p>
      {error !== undefined && <p class='trouble' role='alert'>{error}</p>}
    </section>
  )
}
