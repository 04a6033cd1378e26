/** A picture on its way to the server, with its progress. */
import { type ComponentChildren } from 'preact'
import { useRef, useState } from 'preact/hooks'
import type { Attachment, Client } from '@echo/client'

interface State { name: string, part?: number, done?: Attachment, error?: string }

export interface Uploading {
  /** From 0 to 1 while it is on its way. */
  part?: number
  done?: Attachment
  shown: ComponentChildren
  begin (file: File): void
  clear (): void
}

export function useUpload (client: Client): Uploading {
  const [state, setState] = useState<State>()
  const current = useRef<AbortController>(null)

  function clear (): void {
    current.current?.abort()
    setState(undefined)
  }

  function begin (file: File): void {
    current.current?.abort()
    const stop = current.current = new AbortController()
    const { name } = file
    const show = (more: Partial<State>): void => { if (!stop.signal.aborted) setState({ name, ...more }) }
    show({ part: 0 })
    client.upload(file, { name, signal: stop.signal, onProgress: part => show({ part }) }).then(
      done => show({ done }),
      (error: Error) => show({ error: error.message })
    )
  }

  const shown = state && (
    <p class='upload row'>
      <span>{state.name}</span>
      {state.part !== undefined &&
        <progress max={1} value={state.part} aria-label={`Upload of ${state.name}`} />}
      <span role='status'>{statusOf(state)}</span>
      <button type='button' class='plain' onClick={clear}>Remove</button>
    </p>
  )
  return { part: state?.part, done: state?.done, shown, begin, clear }
}

function statusOf ({ part = 0, done, error }: State): string {
  if (error !== undefined) return `It could not be uploaded: ${error}`
  return done === undefined ? `${Math.round(part * 100)} %` : 'ready'
}
