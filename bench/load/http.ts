/**
 * A keep-alive HTTP client for one server, as lean as the benchmark needs it:
 * the load generator shares the cores with what it measures. One request at a
 * time per connection; a request finds a free connection or opens one.
 */
import { connect, type Socket } from 'node:net'

export interface Answer { status: number, body: string }

interface Waiting { resolve: (answer: Answer) => void, reject: (error: Error) => void }

/** The connections of one user. */
export class HttpClient {
  readonly #target: { host: string, port: number }
  readonly #headers: string
  readonly #free: Connection[] = []
  readonly #all = new Set<Connection>()

  /** `headers` go with every request. */
  constructor (target: { host: string, port: number }, headers: Record<string, string>) {
    this.#target = target
    this.#headers = Object.entries({ host: `${target.host}:${target.port}`, ...headers })
      .map(([name, value]) => `${name}: ${value}\r\n`).join('')
  }

  async post (path: string, body: string): Promise<Answer> {
    return await this.#request('POST', path, body)
  }

  async patch (path: string, body: string): Promise<Answer> {
    return await this.#request('PATCH', path, body)
  }

  async get (path: string): Promise<Answer> {
    return await this.#request('GET', path)
  }

  close (): void {
    for (const connection of this.#all) connection.close()
  }

  async #request (method: string, path: string, body?: string): Promise<Answer> {
    const connection = this.#takeFree() ?? this.#open()
    const about = body === undefined
      ? ''
      : `content-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\n`
    const answer =
      await connection.request(`${method} ${path} HTTP/1.1\r\n${this.#headers}${about}\r\n${body ?? ''}`)
    this.#free.push(connection)
    return answer
  }

  /** A server closes what was idle for long. */
  #takeFree (): Connection | undefined {
    for (;;) {
      const connection = this.#free.pop()
      if (connection?.closed !== true) return connection
      this.#all.delete(connection)
    }
  }

  #open (): Connection {
    const connection = new Connection(connect({ ...this.#target, noDelay: true }))
    this.#all.add(connection)
    return connection
  }
}

class Connection {
  readonly #socket: Socket
  #waiting: Waiting | undefined
  #text = ''

  constructor (socket: Socket) {
    this.#socket = socket
    socket.setEncoding('latin1') // a character a byte; what the benchmark sends is ASCII
    socket.on('data', chunk => this.#read(chunk as unknown as string))
    const failed = (error?: Error): void => {
      this.#waiting?.reject(error ?? new Error('the server closed a connection with a request on it'))
      this.#waiting = undefined
    }
    socket.on('error', failed)
    socket.on('close', () => failed())
  }

  get closed (): boolean { return !this.#socket.writable }

  request (text: string): Promise<Answer> {
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject }
      this.#socket.write(text, 'latin1')
    })
  }

  close (): void { this.#socket.destroy() }

  #read (chunk: string): void {
    this.#text = this.#text === '' ? chunk : this.#text + chunk
    const end = this.#text.indexOf('\r\n\r\n')
    if (end < 0) return
    const head = this.#text.slice(0, end)
    const status = Number(head.slice(9, 12))
    const length = Number(/content-length: *(\d+)/i.exec(head)?.[1] ?? (status === 204 ? 0 : NaN))
    if (Number.isNaN(length)) {
      this.#waiting?.reject(new Error('an answer without content-length'))
      return
    }
    if (this.#text.length < end + 4 + length) return
    const body = this.#text.slice(end + 4, end + 4 + length)
    this.#text = ''
    const waiting = this.#waiting
    this.#waiting = undefined
    waiting?.resolve({ status, body })
  }
}

/** Throws with the server's own words unless the answer is one of `expected`. */
export function parsed (answer: Answer, ...expected: number[]): any {
  if (!expected.includes(answer.status)) throw new Error(`${answer.status}: ${answer.body.slice(0, 500)}`)
  return JSON.parse(answer.body)
}
