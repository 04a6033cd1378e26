/** `npm run config:docs`: writes the variables of config-table.ts into `.env.example` and docs/operations.md. */
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { READ_ELSEWHERE, VARIABLES, type Variable } from '../config-table.ts'

const ROOT = join(import.meta.dirname, '..')
const BEGIN = 'config:docs begins'
const END = 'config:docs ends'
const COLUMNS = 100

const documented = [...Object.values<Variable>(VARIABLES), ...READ_ELSEWHERE] as Array<Omit<Variable, 'parse'>>

/** The files with a part that is made from the table. */
export const GENERATED = [
  { file: '.env.example', render: environmentFile },
  { file: 'docs/operations.md', render: reference }
]

/** The text of a file as it should be. Throws an Error when it has no place for the generated part. */
export async function upToDate ({ file, render }: (typeof GENERATED)[number]): Promise<string> {
  const lines = (await readFile(join(ROOT, file), 'utf8')).split('\n')
  const begin = lines.findIndex(line => line.includes(BEGIN))
  const end = lines.findIndex(line => line.includes(END))
  if (begin < 0 || end < begin) throw new Error(`${file} needs a line with "${BEGIN}" and one with "${END}"`)
  return [...lines.slice(0, begin + 1), ...render(), ...lines.slice(end)].join('\n')
}

/** Variables without a default are commented out, with an example. */
function environmentFile (): string[] {
  return documented.flatMap(({ name, default: fallback, example = '', doc }) => [
    '',
    ...wrap(doc.replaceAll('`', '')).map(line => `# ${line}`),
    fallback === undefined ? `#${name}=${example}` : `${name}=${fallback}`
  ]).concat('')
}

function reference (): string[] {
  return [
    '| variable | default | meaning |',
    '| --- | --- | --- |',
    ...documented.map(({ name, default: fallback, secret, doc }) =>
      `| \`${name}\` | ${fallback === undefined ? 'unset' : `\`${fallback}\``} | ${doc}${secret ? ' Secret.' : ''} |`)
  ]
}

function wrap (text: string): string[] {
  const lines: string[] = []
  for (const word of text.split(' ')) {
    const longer = `${lines.at(-1)} ${word}`
    if (lines.length > 0 && longer.length <= COLUMNS - 2) lines[lines.length - 1] = longer
    else lines.push(word)
  }
  return lines
}

if (process.argv[1] === import.meta.filename) {
  for (const part of GENERATED) await writeFile(join(ROOT, part.file), await upToDate(part))
}
