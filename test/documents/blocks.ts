/**
 * What a document shows in fences, in its order. The word after the backticks says what a block is:
 *
 *   sh                    typed into the reader's terminal, and runs to its end
 *   sh stays <name>       typed into a terminal of its own, where it runs on
 *   js saved as <path>    a file of that name; python is as good as js
 *   sh not run: <reason>  nothing that a test can do; also in other languages
 *   text, json            right behind a block: what that prints
 *   text <name>           what has come since in the terminal of that name
 *
 * In what is printed, `…` stands for anything: within its line, or for any lines when it stands alone.
 */
export interface Block {
  /** Of its first line in the document. */
  line: number
  text: string
}
export interface Command extends Block { kind: 'command', terminal: string | undefined }
export interface SavedFile extends Block { kind: 'file', path: string }
export interface Output extends Block { kind: 'output', terminal: string | undefined }

const FENCE = /^( *)```(.*)\n([^]*?)^\1```$/gm
const MEANING = new RegExp(`^(?:${[
  '(?<command>sh)(?: stays (?<stays>[\\w-]+))?',
  '(?<output>text|json)(?: (?<of>[\\w-]+))?',
  '(?:js|python) saved as (?<path>\\S+)',
  '(?:sh|swift|kotlin) not run: .+'
].join('|')})$`)

/** Throws for a block that says something else, or nothing: nobody would notice that it is not run. */
export function blocksOf (document: string): Array<Command | SavedFile | Output> {
  const indented = /\n\n {4,}\S.*/.exec(document.replaceAll(FENCE, ''))?.[0].trim()
  if (indented !== undefined) throw new Error(`not in a fence: ${indented}`)
  const blocks: Array<Command | SavedFile | Output> = []
  let before: { end: number, terminal: string | undefined } = { end: -1, terminal: undefined }
  for (const { index, ...found } of document.matchAll(FENCE)) {
    const { 0: whole, 1: indent = '', 2: info = '', 3: lines = '' } = found
    const text = lines.replaceAll(new RegExp(`^${indent}`, 'gm'), '')
    const line = document.slice(0, index).split('\n').length + 1
    const meaning = MEANING.exec(info)?.groups
    if (meaning === undefined) throw new Error(`line ${line - 1}: what is a block of "${info}"?`)
    const { command, stays, output, of, path } = meaning
    const end = index + whole.length
    if (command !== undefined) {
      blocks.push({ kind: 'command', line, text, terminal: stays })
      before = { end, terminal: stays }
    } else if (path !== undefined) {
      blocks.push({ kind: 'file', line, text, path })
    } else if (of !== undefined) {
      blocks.push({ kind: 'output', line, text, terminal: of })
    } else if (output !== undefined && document.slice(before.end, index).trim() === '') {
      blocks.push({ kind: 'output', line, text, terminal: before.terminal })
    }
  }
  return blocks
}

/** Whether `printed` is what the document shows, whatever stands for its `…`. */
export function isShown (shown: string, printed: string): boolean {
  const pattern = shown.trim().split('\n').map(line => line.trim() === '…'
    ? '(?:.*\\n)*?'
    : line.split('…').map(part => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')).join('.*') + ' *\\n')
  return new RegExp(`^${pattern.join('')}$`).test(`${printed.trim()}\n`)
}
