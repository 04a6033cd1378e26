/** Begins a conversation with one user, or a group. */
import { useRef, useState } from 'preact/hooks'
import { usePerson } from './context.ts'

export function NewConversation () {
  const person = usePerson()
  const dialog = useRef<HTMLDialogElement>(null)
  const [error, setError] = useState<string>()
  const id = `new-${person.userId}`

  async function begin (data: FormData): Promise<void> {
    const participant_ids = (data.get('users') as string).split(/[\s,]+/).filter(text => text !== '')
    const title = (data.get('title') as string).trim()
    const isGroup = participant_ids.length > 1 || title !== ''
    try {
      const made = await person.client.createConversation({
        type: isGroup ? 'group' : 'direct', participant_ids, ...title !== '' && { title }
      })
      person.open.value = made.id
      setError(undefined)
      dialog.current?.close()
    } catch (error) {
      setError((error as Error).message)
    }
  }

  return (
    <>
      <button
        type='button' aria-label={`New conversation of ${person.name}`} title='New conversation'
        onClick={() => dialog.current?.showModal()}
      >
        +
      </button>
      <dialog ref={dialog} aria-labelledby={id}>
        <h2 id={id}>New conversation</h2>
        <form
          class='stack'
          onSubmit={event => {
            event.preventDefault()
            return begin(new FormData(event.currentTarget))
          }}
        >
          <label>User ids <input name='users' required autocomplete='off' placeholder='bob, carol' /></label>
          <label>Title, for a group <input name='title' maxLength={200} autocomplete='off' /></label>
          {error !== undefined && <p class='trouble' role='alert'>{error}</p>}
          <p class='row end'>
            <button type='button' onClick={() => dialog.current?.close()}>Cancel</button>
            <button type='submit' class='primary'>Begin</button>
          </p>
        </form>
      </dialog>
    </>
  )
}
