/** Says what an action led to, to the eye and to screen readers. */
import { signal } from '@preact/signals'

const said = signal('')

export const announce = (text: string): void => { said.value = text }

export const Announcer = () => <p class='announcer' role='status'>{said.value}</p>
