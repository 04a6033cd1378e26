/** A reader of server-sent events over a socket of its own, as a fetch-based client would be. */
import { request, type IncomingHttpHeaders, type IncomingMessage } from 'node:http'
import { request as requestOverTls } from 'node:https'
import { until } from './until.ts'

export interface Block { id?: number, event?: string, data?: any, comment?: true, retry?: number }

export interface EventReader extends Disposable {
  status: number
  headers: IncomingHttpHeaders
  /** The body of an answer that is no stream. */
  text: string
  /** In the order they came, comments included, unless `onBlock` takes them. */
  blocks: Block[]
  /** Blocks with an event. */
  events (): Block[]
  ended: boolean
  /** Resolves when it has. */
  end: Promise<void>
  /** It reads nothing more until `resume`. */
  pause (): void
  resume (): void
}

export interface ReaderOptions {
  method?: string
  headers?: Record<string, string>
  /** Of an address with https. */
  ca?: Buffer
  /** Gives up. */
  signal?: AbortSignal
  onBlock?: (block: Block) => void
}

/** Resolves when the head of the answer is there; of an answer without end, only that. */
export async function openEvents (
  api: string, token: string, { method = 'GET', headers = {}, ca, signal, onBlock }: ReaderOptions = {}
): Promise<EventReader> {
  const authorization = `Bearer ${token}`
  const ask = api.startsWith('https:') ? requestOverTls : request
  const asked = ask(`${api}/events`, { method, headers: { authorization, ...headers }, ca, signal })
  asked.end()
  const answer = await new Promise<IncomingMessage>((resolve, reject) => {
    asked.once('response', resolve)
    asked.once('error', reject)
  })
  asked.on('error', () => {})
  const reader: EventReader = {
    status: answer.statusCode!,
    headers: answer.headers,
    text: '',
    blocks: [],
    events: () => reader.blocks.filter(block => block.event !== undefined),
    ended: false,
    end: new Promise(resolve => answer.once('close', resolve)),
    pause () { answer.pause() },
    resume () { answer.resume() },
    [Symbol.dispose] () { asked.destroy() }
  }
  let rest = ''
  const streams = reader.status === 200
  const take = (chunk: string): void => {
    if (!streams) {
      reader.text += chunk
      return
    }
    const blocks = (rest + chunk).split('\n\n')
    rest = blocks.pop()!
    for (const block of blocks.map(parse)) {
      if (onBlock === undefined) reader.blocks.push(block)
      else onBlock(block)
    }
  }
  answer.setEncoding('utf8').on('error', () => {}).once('close', () => { reader.ended = true })
  answer.on('data', take)
  if (!streams) await until(() => reader.ended, 'the answer is whole')
  return reader
}

function parse (text: string): Block {
  const block: Block = {}
  for (const line of text.split('\n')) {
    const [, field, value] = /^(\w*): ?(.*)$/.exec(line) ?? []
    if (field === '') block.comment = true
    else if (field === 'data') block.data = JSON.parse(value!)
    else if (field === 'event') block.event = value
    else if (field === 'id' || field === 'retry') block[field] = Number(value)
    else throw new Error(`no line of an event stream: ${line}`)
  }
  return block
}
