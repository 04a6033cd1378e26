/** What conversations are called. */
import type { ShownConversation } from '@echo/client'
import { nameOf, type Person } from './person.ts'

export function titleOf (person: Person, conversation: ShownConversation): string {
  if (conversation.partner_id !== null) return nameOf(person, conversation.partner_id)
  if (conversation.title !== null) return conversation.title
  const others = conversation.participants.filter(({ user_id }) => user_id !== person.userId)
  if (others.length > 0) return others.map(({ user_id }) => nameOf(person, user_id)).join(', ')
  return `Group of ${conversation.participant_count}`
}

export function typingText (person: Person, { typing }: ShownConversation): string {
  if (typing.length === 0) return ''
  const [first, ...others] = typing.map(userId => nameOf(person, userId))
  return others.length === 0 ? `${first} is typing …` : `${first} and ${others.length} more are typing …`
}

export const initials = (name: string): string =>
  name.split(/\s+/).slice(0, 2).map(word => word.charAt(0).toUpperCase()).join('')

/** One of six hues, always the same for a name. */
export const hueOf = (name: string): number =>
  [...name].reduce((sum, character) => sum + character.codePointAt(0)!, 0) % 6

export function shortTime (iso: string, now = new Date()): string {
  const time = new Date(iso)
  return time.toDateString() === now.toDateString()
    ? time.toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' })
    : time.toLocaleDateString([], { day: 'numeric', month: 'short' })
}
