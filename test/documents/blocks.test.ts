/** How a document says what is typed and what that prints. */
import { expect, test } from 'vitest'
import { blocksOf, isShown } from './blocks.ts'

const fenced = (info: string, text: string): string => `\n\`\`\`${info}\n${text}\n\`\`\`\n`

test('commands come with what they print, in their order, and what a test cannot do is left out', () => {
  expect(blocksOf([
    fenced('sh', 'date'), fenced('text', '…'), fenced('sh stays phone', 'sleep 9'), 'Meanwhile:',
    fenced('sh not run: it is far away', 'ssh moon'), fenced('text phone', 'hello'), fenced('json', '{}'),
    fenced('js saved as /tmp/a.mjs', 'f()'), fenced('kotlin not run: no phone is here', 'f()')
  ].join(''))).toEqual([
    { kind: 'command', line: 3, text: 'date\n', terminal: undefined },
    { kind: 'output', line: 7, text: '…\n', terminal: undefined },
    { kind: 'command', line: 11, text: 'sleep 9\n', terminal: 'phone' },
    { kind: 'output', line: 19, text: 'hello\n', terminal: 'phone' },
    { kind: 'file', line: 27, text: 'f()\n', path: '/tmp/a.mjs' }
  ])
})

test('a block that would not be run by mistake is an error', () => {
  for (const document of [
    fenced('', 'date'), fenced('bash', 'date'), fenced('sh not run', 'date'), fenced('js', 'date()'),
    'Type\n\n    date\n'
  ]) expect(() => blocksOf(document), document).toThrow()
})

test('an ellipsis stands for the rest of its line, or for any lines', () => {
  expect(isShown('{"id":"…"}\n', '{"id":"1"}')).toBe(true)
  expect(isShown('{"id":"…"}\n', '{"id":"1"}\nand more')).toBe(false)
  expect(isShown('a\n…\nd\n', 'a\nb\nc\nd')).toBe(true)
  expect(isShown('a\n…\nd\n', 'a\nd\n')).toBe(true)
  expect(isShown('a.c', 'abc')).toBe(false)
})
