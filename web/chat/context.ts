/** Whose side of the page a component is on. */
import { createContext } from 'preact'
import { signal } from '@preact/signals'
import { useContext } from 'preact/hooks'
import { type Person } from './person.ts'

export const Side = createContext<Person | undefined>(undefined)

/** Renders again with every change of what the person is shown. */
export function usePerson (): Person {
  const person = useContext(Side)!
  person.revision.value // eslint-disable-line @typescript-eslint/no-unused-expressions
  return person
}

/** The user id of the side that somebody has pointed at last: messages that are open there are read. */
export const attended = signal('')
