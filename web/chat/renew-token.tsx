/** Asks for another token when the server takes the present one no longer. Nothing is lost meanwhile. */
import { useEffect, useRef, useState } from 'preact/hooks'
import { claimsOf } from '../settings.ts'
import { usePerson } from './context.ts'

export function RenewToken () {
  const { userId, renewal } = usePerson()
  const field = useRef<HTMLInputElement>(null)
  const [error, setError] = useState<string>()
  const give = renewal.value
  useEffect(() => { if (give !== undefined) field.current?.focus() }, [give])
  if (give === undefined) return null
  return (
    <form
      class='renew stack' aria-label='Another token'
      onSubmit={event => {
        event.preventDefault()
        const token = (new FormData(event.currentTarget).get('token') as string).trim()
        if (claimsOf(token)?.sub !== userId) return setError(`This is no token of ${userId}.`)
        setError(undefined)
        give(token)
      }}
    >
      <p><b>The token is expired or revoked.</b> Paste another one for {userId}; what is written waits.</p>
      <p class='row'>
        <input ref={field} name='token' type='password' required aria-label='Token' autocomplete='off' />
        <button type='submit' class='primary'>Go on</button>
      </p>
      {error !== undefined && <p class='trouble' role='alert'>{error}</p>}
    </form>
  )
}
