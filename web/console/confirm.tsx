/** Asks before something is done that cannot be taken back. The dialog keeps the focus and gives it back. */
import { signal } from '@preact/signals'
import { useEffect, useRef } from 'preact/hooks'

interface Question { title: string, text: string, verb: string, answer: (yes: boolean) => void }

const question = signal<Question | undefined>(undefined)

export const confirmed = (title: string, text: string, verb: string): Promise<boolean> =>
  new Promise(resolve => { question.value = { title, text, verb, answer: resolve } })

export function ConfirmDialog () {
  const dialog = useRef<HTMLDialogElement>(null)
  const asked = question.value
  useEffect(() => {
    if (asked !== undefined) dialog.current?.showModal()
    else dialog.current?.close()
  }, [asked])
  const answer = (yes: boolean): void => {
    question.value = undefined
    asked?.answer(yes)
  }
  return (
    <dialog ref={dialog} aria-labelledby='confirm-title' onCancel={() => answer(false)}>
      <h2 id='confirm-title'>{asked?.title}</h2>
      <p>{asked?.text}</p>
      <p class='row end'>
        <button type='button' onClick={() => answer(false)} autofocus>Leave it</button>
        <button type='button' class='danger' onClick={() => answer(true)}>{asked?.verb}</button>
      </p>
    </dialog>
  )
}
