/**
 * A stand-in for Firebase Cloud Messaging: its HTTP v1 API, as far as sending goes.
 * It refuses what FCM would refuse, answers as a script says, and keeps what it took.
 * `GET /pushes` lists it.
 */
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { type AddressInfo } from 'node:net'
import { refuseMessage } from './message.ts'

const PATH = /^\/v1\/projects\/[^/]+\/messages:send$/
const MAX_REQUEST_BYTES = 64 * 1024
/** As a demonstration it runs for days. */
const MAX_KEPT = 50_000

const ERRORS = {
  UNREGISTERED: [404, 'NOT_FOUND', 'Requested entity was not found.'],
  SENDER_ID_MISMATCH: [403, 'PERMISSION_DENIED', 'SenderId mismatch'],
  INVALID_ARGUMENT: [400, 'INVALID_ARGUMENT', 'The registration token is not a valid FCM registration token'],
  QUOTA_EXCEEDED: [429, 'RESOURCE_EXHAUSTED', 'Resource has been exhausted (e.g. check quota).'],
  THIRD_PARTY_AUTH_ERROR: [401, 'UNAUTHENTICATED', 'Auth error from APNS or Web Push Service'],
  UNAVAILABLE: [503, 'UNAVAILABLE', 'The service is currently unavailable.'],
  INTERNAL: [500, 'INTERNAL', 'Internal error encountered.'],
  // These are about the caller and carry no FcmError.
  UNAUTHENTICATED: [401, 'UNAUTHENTICATED', 'Request had invalid authentication credentials.'],
  PERMISSION_DENIED: [
    403, 'PERMISSION_DENIED', 'Permission \'cloudmessaging.messages.create\' denied on resource'
  ],
  NOT_FOUND: [404, 'NOT_FOUND', 'Requested entity was not found.']
} as const
const ABOUT_THE_CALLER: string[] = ['UNAUTHENTICATED', 'PERMISSION_DENIED', 'NOT_FOUND']

export type Reaction =
  | { error: keyof typeof ERRORS, retryAfter?: string }
  /** Cut before an answer, after the push was taken (`took`) or not. */
  | { drop: true, took?: boolean }
  | { afterMs: number }
  /** Something in front of FCM, a proxy perhaps, answers. */
  | { status: number, text: string }
  | undefined

export interface TakenPush { at: number, token: string, message: Record<string, any> }

export interface FakeFcm extends AsyncDisposable {
  url: string
  /** What was taken, oldest first. */
  pushes: TakenPush[]
  /** Requests, whatever became of them. */
  requests (): number
  /** Why messages were refused as not valid. */
  refusals: string[]
  /** How the next requests are answered; a function decides by token and by how many came for it. */
  react (script: (token: string, nth: number, message: Record<string, any>) => Reaction): void
}

export interface FakeFcmOptions { port?: number, onPush?: (push: TakenPush) => void }

export async function startFakeFcm ({ port = 0, onPush }: FakeFcmOptions = {}): Promise<FakeFcm> {
  const pushes: TakenPush[] = []
  const refusals: string[] = []
  const seen = new Map<string, number>()
  let requests = 0
  let script: Parameters<FakeFcm['react']>[0] = () => undefined

  function take (message: Record<string, any>): void {
    const push = { at: Date.now(), token: message.token as string, message }
    pushes.push(push)
    if (pushes.length > MAX_KEPT) pushes.shift()
    onPush?.(push)
  }

  async function answerSend (request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await readJson(request)
    requests++
    const problem = body === undefined ? 'Invalid JSON payload received.' : refuseMessage(body)
    if (problem !== undefined) {
      refusals.push(problem)
      return answer(response, 400, {
        error: {
          code: 400, status: 'INVALID_ARGUMENT', message: problem, details: [fcmError('INVALID_ARGUMENT')]
        }
      })
    }
    if (!/^Bearer \S+$/.test(request.headers.authorization ?? '')) return refuse(response, 'UNAUTHENTICATED')
    const { message } = body as { message: Record<string, any> }
    const nth = (seen.get(message.token) ?? 0) + 1
    seen.set(message.token, nth)
    const reaction = script(message.token, nth, message)
    if (reaction !== undefined) {
      if ('error' in reaction) return refuse(response, reaction.error, reaction.retryAfter)
      if ('status' in reaction) { response.writeHead(reaction.status).end(reaction.text); return }
      if ('afterMs' in reaction) await new Promise(resolve => setTimeout(resolve, reaction.afterMs))
      if ('drop' in reaction) {
        if (reaction.took === true) take(message)
        request.socket.destroy()
        return
      }
    }
    take(message)
    answer(response, 200, { name: `projects/echo/messages/${requests}` })
  }

  const server = createServer((request, response) => {
    if (request.method === 'POST' && PATH.test(request.url ?? '')) {
      answerSend(request, response).catch(() => { request.socket.destroy() })
    } else if (request.method === 'GET' && request.url === '/pushes') {
      answer(response, 200, { pushes })
    } else {
      answer(response, 404, { error: { code: 404, status: 'NOT_FOUND', message: 'no such page' } })
    }
  })
  server.keepAliveTimeout = 60_000
  server.listen(port, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    pushes,
    refusals,
    requests: () => requests,
    react (next) { script = next },
    async [Symbol.asyncDispose] () {
      server.closeAllConnections()
      await new Promise(resolve => server.close(resolve))
    }
  }
}

async function readJson (request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of request) {
    bytes += (chunk as Buffer).length
    if (bytes > MAX_REQUEST_BYTES) throw new Error('the request is too large')
    chunks.push(chunk as Buffer)
  }
  try {
    return JSON.parse(Buffer.concat(chunks).toString())
  } catch {
    return undefined
  }
}

function refuse (response: ServerResponse, name: keyof typeof ERRORS, retryAfter?: string): void {
  const [code, status, message] = ERRORS[name]
  if (retryAfter !== undefined) response.setHeader('retry-after', retryAfter)
  answer(response, code, {
    error: { code, status, message, details: ABOUT_THE_CALLER.includes(name) ? [] : [fcmError(name)] }
  })
}

const fcmError = (errorCode: string) =>
  ({ '@type': 'type.googleapis.com/google.firebase.fcm.v1.FcmError', errorCode })

function answer (response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json; charset=UTF-8' })
    .end(JSON.stringify(body, null, 2))
}
