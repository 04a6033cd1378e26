/** The terminals of somebody who follows a document, in the folder of the project. */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { until } from '../support/until.ts'

const ROOT = new URL('../..', import.meta.url).pathname
const DONE = 'the block has run to its end'
/** A first start makes a database. */
const WITHIN_MS = 60_000
/** Before anything else in each terminal: the packages are there, and the test runs with them. */
const PREPARE = 'npm () { [ "$1" = ci ] || command npm "$@"; }\n'
/** mosquitto_sub is made to tell of itself (see `run`), which a reader does not see. */
const TOLD = /^(?:Client \S+ (?:sending|received) .*|Subscribed \(mid: .*)\n/gm

interface Terminal {
  child: ChildProcess
  /** Everything so far, and how much of it the document has shown. */
  output: string
  shown: number
}

export class Terminals implements AsyncDisposable {
  readonly #env: NodeJS.ProcessEnv
  readonly #open = new Map<string, Terminal>()

  constructor (env: NodeJS.ProcessEnv) {
    this.#env = env
  }

  /** Types `text` into the reader's terminal, and gives what it printed. Throws when a command fails. */
  async type (text: string): Promise<string> {
    const terminal = this.#open.get('') ?? this.#start('')
    const from = terminal.output.length
    terminal.child.stdin!.write(`{ ${text}\n} < /dev/null\necho '${DONE}'\n`)
    const done = (): boolean => terminal.output.includes(DONE, from)
    await until(() => done() || ended(terminal), 'the block has run', WITHIN_MS)
    const printed = terminal.output.slice(from)
    if (!printed.includes(DONE)) throw new Error(`a command failed after this:\n${printed}`)
    return printed.replace(`${DONE}\n`, '').replaceAll(TOLD, '')
  }

  /**
   * Runs `text` in the terminal `name`, where it stays; what ran there is ended as by Ctrl-C. Resolves when
   * it has said something: a subscriber that it has subscribed.
   */
  async run (name: string, text: string): Promise<void> {
    await this.#end(name)
    const terminal = this.#start(name, text)
    const there = text.includes('mosquitto_sub') ? 'received SUBACK' : '\n'
    await until(() => terminal.output.includes(there) || ended(terminal), `${name} says something`, WITHIN_MS)
    if (ended(terminal)) throw new Error(`${name} has ended after this:\n${terminal.output}`)
  }

  /** What has come in the terminal `name` and was not shown. */
  news (name: string): string {
    const terminal = this.#open.get(name)
    if (terminal === undefined) throw new Error(`there is no terminal "${name}"`)
    return terminal.output.slice(terminal.shown).replaceAll(TOLD, '')
  }

  show (name: string): void {
    const terminal = this.#open.get(name)!
    terminal.shown = terminal.output.length
  }

  async [Symbol.asyncDispose] (): Promise<void> {
    for (const name of [...this.#open.keys()].reverse()) await this.#end(name)
  }

  /** Runs `text`, or what is written to it. */
  #start (name: string, text?: string): Terminal {
    const script = text === undefined ? ['-s'] : ['-c', PREPARE + text]
    // Line by line, as to a screen. Without --norc, bash takes a piped one for a remote shell.
    const child = spawn('stdbuf', ['-oL', 'bash', '--norc', '-euo', 'pipefail', ...script], {
      cwd: ROOT, env: this.#env, detached: true, stdio: ['pipe', 'pipe', 'pipe']
    })
    if (text === undefined) child.stdin.write(PREPARE)
    const terminal = { child, output: '', shown: 0 }
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', chunk => { terminal.output += chunk })
    }
    this.#open.set(name, terminal)
    return terminal
  }

  async #end (name: string): Promise<void> {
    const terminal = this.#open.get(name)
    this.#open.delete(name)
    if (terminal === undefined || ended(terminal)) return
    const closed = once(terminal.child, 'close')
    process.kill(-terminal.child.pid!, name === '' ? 'SIGTERM' : 'SIGINT')
    const timer = setTimeout(() => process.kill(-terminal.child.pid!, 'SIGKILL'), WITHIN_MS / 2)
    await closed
    clearTimeout(timer)
  }
}

const ended = ({ child }: Terminal): boolean => child.exitCode !== null || child.signalCode !== null
