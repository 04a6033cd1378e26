import { hueOf, initials } from './names.ts'

/** The name stands beside it, so screen readers are spared. */
export const Avatar = ({ name, online }: { name: string, online?: boolean }) => (
  <span class={`avatar hue-${hueOf(name)}`} aria-hidden='true'>
    {initials(name)}
    {online === true && <span class='presence' />}
  </span>
)
