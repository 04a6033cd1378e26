/** What a reaction may be: exactly one emoji that Unicode recommends for interchange (UTS #51, RGI). */

const MAX_LENGTH = 64
const VARIATION_SELECTOR = '\u{FE0F}'
const RGI_EMOJI = '\\p{RGI_Emoji}'
// Not a literal: TypeScript refuses the flag below ES2024, Node 20 knows it.
const ONE_EMOJI = new RegExp(`^${RGI_EMOJI}$`, 'v')
// ED-20: a character that is text by default needs the selector, unless a skin tone follows.
const TEXT_BY_DEFAULT = /(?!\p{Emoji_Presentation})\p{Emoji}(?!\p{Emoji_Modifier})/gu

/**
 * The emoji with all its variation selectors, so that each has one spelling; undefined for any other text.
 */
export function normaliseEmoji (text: string): string | undefined {
  if (text.length > MAX_LENGTH) return undefined
  const qualified =
    text.replaceAll(VARIATION_SELECTOR, '').replace(TEXT_BY_DEFAULT, `$&${VARIATION_SELECTOR}`)
  return ONE_EMOJI.test(qualified) ? qualified : undefined
}
