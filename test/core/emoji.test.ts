import { expect, test } from 'vitest'
import { normaliseEmoji } from '../../core/emoji.ts'

const SELECTOR = '\u{FE0F}'

const EMOJI = [
  '👍', '👍🏽', '❤️', '☺️', '©️', '1️⃣', '#️⃣', '🇩🇪', '🏴󠁧󠁢󠁥󠁮󠁧󠁿', '👨‍👩‍👧‍👦', '🏳️‍🌈', '👁️‍🗨️', '❤️‍🔥', '🕵️‍♂️', '🕵🏿‍♀️', '⛹🏽‍♂️', '✌🏻', '✌️', '🫱🏻‍🫲🏿',
  '👩🏻‍❤️‍💋‍👨🏿', '🧑‍⚕️', '⌚', '🀄', '🅰️', '🈂️', '㊗️', '⬛', '🐻‍❄️', '😶‍🌫️'
]

test.each(EMOJI)('%s is one emoji, with and without its variation selectors', emoji => {
  expect(normaliseEmoji(emoji)).toBe(emoji)
  expect(normaliseEmoji(emoji.replaceAll(SELECTOR, ''))).toBe(emoji)
})

test('a selector too much changes nothing', () => {
  expect(normaliseEmoji(`👍${SELECTOR}`)).toBe('👍')
  expect(normaliseEmoji(`❤${SELECTOR}${SELECTOR}`)).toBe('❤️')
})

test.each([
  ['nothing', ''], [
    'a letter', 'a'
  ], ['a digit', '1'], ['two emoji', '👍👍'], ['an emoji and a space', '👍 '], ['half a flag', '🇩'],
  [
    'a skin tone on what has none', '🚗🏽'
  ], ['a joiner at the end', '👍\u{200D}'], ['a lone surrogate', '\uD83D'], ['the text form', '❤\u{FE0E}'],
  ['a selector alone', SELECTOR], [
    'a family that does not exist', '👍\u{200D}👍'
  ], ['a flag of no country', '🇽🇽'], ['a very long text', '👍'.repeat(1_000)]
])('%s is no emoji', (_, text) => {
  expect(normaliseEmoji(text)).toBeUndefined()
})
