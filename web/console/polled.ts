/** Asks again and again while somebody looks: a tab in the background asks nothing. */
import { useEffect, useState } from 'preact/hooks'

export interface Polled<T> {
  /** The last answer; it stays while later ones fail. */
  value?: T
  /** Why there is no newer answer. */
  error?: string
  refresh (): void
}

/** Asks at once, then `everyMs` after each answer; anew when `key` changes. */
export function usePolled<T> (ask: () => Promise<T>, everyMs: number, key: string = ''): Polled<T> {
  const [state, setState] = useState<{ value?: T, error?: string, key: string }>({ key })
  const [round, setRound] = useState(0)
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined
    let over = false
    const plan = (): void => { timer = setTimeout(run, everyMs) }
    function run (): void {
      if (document.hidden) return plan()
      ask().then(
        value => { if (!over) setState({ value, key }) },
        (error: Error) => {
          if (over) return
          setState(old => ({ value: old.key === key ? old.value : undefined, error: error.message, key }))
        }
      ).finally(() => { if (!over) plan() })
    }
    run()
    return () => {
      over = true
      clearTimeout(timer)
    }
  }, [key, round, everyMs])
  const current = state.key === key ? state : { value: undefined, error: undefined }
  return { value: current.value, error: current.error, refresh: () => setRound(number => number + 1) }
}
