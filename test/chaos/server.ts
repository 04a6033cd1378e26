/**
 * What can be struck: a server that is a process of its own. An end that the run has not
 * asked for is reported and the server is started again, as an init system would.
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { createWriteStream, type WriteStream } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'

export interface Server {
  readonly name: string
  /** Resolves when it serves. */
  start (): Promise<void>
  /** `kill -9`: no time to do anything. */
  kill (): Promise<void>
  pause (): Promise<void>
  resume (): Promise<void>
  /** Asks it to end, and resolves with how it did. */
  stop (): Promise<string>
}

export interface ServerOptions {
  name: string
  command: string
  args: string[]
  env: NodeJS.ProcessEnv
  cwd: string
  logFile: string
  /** Asked again and again after a start; `output` is what was printed since. */
  isReady: (output: string) => boolean | Promise<boolean>
  onCrash: (name: string, how: string) => void
}

/** A process waits for a database or a Redis that is frozen for a minute. */
const START_TIMEOUT_MS = 120_000
const STOP_TIMEOUT_MS = 45_000
const POLL_MS = 20
const CRASH_PAUSE_MS = 500
const MAX_OUTPUT = 65_536

export class ServerProcess implements Server {
  readonly name: string
  readonly #options: ServerOptions
  readonly #log: WriteStream
  #child: ChildProcess | undefined
  #ended: Promise<string> = Promise.resolve('not started')
  #output = ''
  #expected = false

  constructor (options: ServerOptions) {
    this.name = options.name
    this.#options = options
    this.#log = createWriteStream(options.logFile, { flags: 'a' })
  }

  get running (): boolean { return this.#child !== undefined && children.has(this.#child) }

  async start (): Promise<void> {
    const { command, args, env, cwd, isReady, logFile } = this.#options
    this.#output = ''
    this.#expected = false
    // Detached: Ctrl-C is for the harness, which then ends everything in order.
    const child = spawn(command, args, { cwd, env, detached: true, stdio: ['ignore', 'pipe', 'pipe'] })
    this.#child = child
    children.add(child)
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (chunk: string) => {
        this.#log.write(chunk)
        if (this.#output.length < MAX_OUTPUT) this.#output += chunk
      })
    }
    let over = false
    this.#ended = new Promise(resolve => {
      child.once('error', error => resolve(error.message))
      child.once('exit', (code, signal) => resolve(signal ?? `exit code ${code}`))
    })
    this.#ended.then(how => {
      over = true
      children.delete(child)
      this.#log.write(`[chaos] ended with ${how}\n`)
    }, () => {})
    for (const deadline = performance.now() + START_TIMEOUT_MS; !await isReady(this.#output); await sleep(
      POLL_MS
    )) {
      if (this.#expected) return // struck or stopped while it was starting
      if (over) throw new Error(`${this.name} ended while starting (${await this.#ended}): see ${logFile}`)
      if (performance.now() > deadline) {
        throw new Error(`${this.name} is not ready after ${START_TIMEOUT_MS} ms: see ${logFile}`)
      }
    }
    this.#watch(child)
  }

  #watch (child: ChildProcess): void {
    this.#ended.then(async how => {
      if (this.#expected || this.#child !== child) return
      this.#options.onCrash(this.name, how)
      while (!this.#expected && !this.running) {
        await sleep(CRASH_PAUSE_MS)
        if (!this.#expected) {
          await this.start()
            .catch((error: unknown) => this.#options.onCrash(this.name, (error as Error).message))
        }
      }
    }, () => {})
  }

  async kill (): Promise<void> {
    this.#expected = true
    this.#child?.kill('SIGKILL')
    await this.#ended
  }

  async pause (): Promise<void> { this.#child?.kill('SIGSTOP') }

  async resume (): Promise<void> { this.#child?.kill('SIGCONT') }

  async stop (): Promise<string> {
    this.#expected = true
    this.#child?.kill('SIGCONT')
    this.#child?.kill('SIGTERM')
    const timer = setTimeout(() => this.#child?.kill('SIGKILL'), STOP_TIMEOUT_MS)
    const how = await this.#ended
    clearTimeout(timer)
    return how
  }
}

// Whatever ends the harness, nothing it started outlives it.
const children = new Set<ChildProcess>()
process.on('exit', () => { for (const child of children) child.kill('SIGKILL') })
