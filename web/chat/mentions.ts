/** `@name` in a text. Offsets and lengths count code points, as Echo does. */
import type { Mention } from '@echo/client'

export interface Named { user_id: string, name: string | null }

export function mentionsIn (content: string, people: Named[]): Mention[] {
  const names = people
    .flatMap(({ user_id, name }) =>
      [name, user_id].map(text => ({ user_id, text: text?.toLowerCase() ?? '' })))
    .filter(({ text }) => text !== '')
    .sort((a, b) => b.text.length - a.text.length) // `@Ann Lee` is not `@Ann`
  return [...content.matchAll(/(?<![\p{L}\p{N}_])@/gu)].flatMap(({ index }) => {
    const rest = content.slice(index + 1).toLowerCase()
    const named = names.find(({ text }) =>
      rest.startsWith(text) && !/^[\p{L}\p{N}_]/u.test(rest.slice(text.length)))
    if (named === undefined) return []
    const offset = points(content.slice(0, index))
    return [{ user_id: named.user_id, offset, length: points(named.text) + 1 }]
  })
}

export interface Piece { text: string, mentions?: string }

/** The text in its pieces, with the user id of who is mentioned. */
export function piecesOf (content: string, mentions: Mention[]): Piece[] {
  const characters = [...content]
  const pieces: Piece[] = []
  let at = 0
  for (const { user_id, offset, length } of mentions.toSorted((a, b) => a.offset - b.offset)) {
    if (offset < at) continue // one lies in another
    if (offset > at) pieces.push({ text: characters.slice(at, offset).join('') })
    pieces.push({ text: characters.slice(offset, offset + length).join(''), mentions: user_id })
    at = offset + length
  }
  if (at < characters.length) pieces.push({ text: characters.slice(at).join('') })
  return pieces
}

/** What is being typed after the last `@`, at the end of the text. */
export const mentionBegun = (text: string): string | undefined => /(?:^|\s)@([^\s@]*)$/.exec(text)?.[1]

const points = (text: string): number => [...text].length
