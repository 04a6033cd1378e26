/** A REST door with a database of its own, and callers who use it. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pino from 'pino'
import { defaultLimits } from '../../api/limits/overload.ts'
import { startApi, type ApiDeps } from '../../api/server.ts'
import { startAttachments, type Attachments } from '../../messaging/attachments/attachments.ts'
import { startMessaging, type Messaging } from '../../messaging/start.ts'
import { openDatabase } from '../../store/database.ts'
import { type FileStore } from '../../store/files/file-store.ts'
import { startLocalFiles } from '../../store/files/local-files.ts'
import { createDatabase } from '../support/database.ts'
import { readContract, type Contract } from './contract/contract.ts'
import { SECRET, signToken, type TokenOptions } from '../support/tokens.ts'

export const ISSUER = 'https://issuer.example'

export interface Answer { status: number, headers: Headers, body: any }

export interface RequestOptions {
  headers?: Record<string, string>
  signal?: AbortSignal
  raw?: string | Buffer
}

export interface Caller {
  id: string
  token: string
  /** A body is sent as JSON; `raw` is sent as it is. */
  request (method: string, path: string, body?: unknown, options?: RequestOptions): Promise<Answer>
  get (path: string): Promise<Answer>
  post (path: string, body?: unknown, headers?: Record<string, string>): Promise<Answer>
  put (path: string, body?: unknown): Promise<Answer>
  patch (path: string, body?: unknown): Promise<Answer>
  delete (path: string): Promise<Answer>
}

export interface TestApi extends AsyncDisposable {
  url: string
  grpcPort: number
  /** What every answer to a caller is held against. */
  contract: Contract
  databaseUrl: string
  messaging: Messaging
  attachments: Attachments
  /** Where files are, unless the test brought a store of its own. */
  filesFolder: string
  /** Errors that the server wrote to its log. */
  logged: string[]
  /** A user that Echo has not seen yet. */
  user (name: string, options?: TokenOptions): Promise<Caller>
  anonymous (token?: string): Caller
  stop (): Promise<void>
}

export interface TestApiOptions extends Partial<ApiDeps> {
  /** Stands between the server and its files. */
  wrapFiles?: (files: FileStore) => FileStore
  erasureSettleMs?: number
  stalledMs?: number
  sweepMs?: number
}

/** Tests share the event loop with their server, and some keep it busy for longer than a server may be. */
const NEVER_LATE = { ...defaultLimits(), eventLoopDelayMs: 60_000 }

let users = 0
// The document is the same for every server of this process, and so are the checks compiled from it.
let contract: Promise<Contract> | undefined

export async function startTestApi ({
  ready, wrapFiles = files => files, erasureSettleMs = 50, stalledMs, sweepMs, ...deps
}: TestApiOptions = {}): Promise<TestApi> {
  const logged: string[] = []
  const log = pino({ level: 'error' }, { write: (line: string) => { logged.push(line) } })
  const file = await createDatabase()
  // Other connections go down with the server in some tests; that is no error.
  const database = openDatabase(file.url)
  const messaging = await startMessaging({
    database,
    authentication: { key: { kind: 'secret', secret: SECRET }, issuer: ISSUER },
    graceMs: 10_000,
    erasureSettleMs,
    stalledMs,
    sweepMs,
    log
  })
  const filesFolder = await mkdtemp(join(tmpdir(), 'echo-files-'))
  const attachments = startAttachments({ database, files: wrapFiles(startLocalFiles(filesFolder)), log })
  const api = await startApi({ host: '127.0.0.1', port: 0 }, {
    messaging,
    attachments,
    log,
    grpcPort: 0,
    overload: NEVER_LATE,
    ready: ready ?? (async () => ({ ready: true, dependencies: { database: { ok: true } } })),
    ...deps
  })
  const url = `http://127.0.0.1:${api.port}`
  const judge =
    await (contract ??= fetch(`${url}/docs/json`).then(async response => readContract(await response.json())))
  let stopped: Promise<void> | undefined
  const stop = (): Promise<void> => (stopped ??= Promise.resolve(api[Symbol.asyncDispose]()))

  return {
    url,
    grpcPort: api.grpcPort!,
    contract: judge,
    databaseUrl: file.url,
    messaging,
    attachments,
    filesFolder,
    logged,
    anonymous: (token = '') => caller(url, judge, '', token),
    async user (name, options = {}) {
      const id = `${name}-${process.pid}-${++users}`
      return caller(url, judge, id, await signToken(id, { issuer: ISSUER, ...options }))
    },
    stop,
    async [Symbol.asyncDispose] () {
      await stop()
      await attachments[Symbol.asyncDispose]()
      await rm(filesFolder, { recursive: true, force: true })
      await messaging[Symbol.asyncDispose]()
      await database[Symbol.asyncDispose]()
      await file[Symbol.asyncDispose]()
    }
  }
}

export function caller (
  url: string, contract: Pick<Contract, 'judge'>, id: string, token: string
): Caller {
  async function request (
    method: string, path: string, body?: unknown, { headers = {}, signal, raw }: RequestOptions = {}
  ): Promise<Answer> {
    const sent = raw ?? (body === undefined ? undefined : JSON.stringify(body))
    const fullPath = path.startsWith('/api') || path.startsWith('//')
      ? path.replace('//', '/')
      : `/api/v1${path}`
    const response = await fetch(url + fullPath, {
      method,
      body: sent as RequestInit['body'],
      signal,
      headers: {
        ...(token === '' ? {} : { authorization: `Bearer ${token}` }),
        ...(sent === undefined ? {} : { 'content-type': 'application/json' }),
        ...headers
      }
    })
    const text = await response.text()
    const mediaType = response.headers.get('content-type')?.split(';')[0]
    const answered = text === ''
      ? undefined
      : mediaType !== undefined && /json$/.test(mediaType) ? JSON.parse(text) : text
    contract.judge({ method, path: fullPath, status: response.status, mediaType, body: answered })
    return { status: response.status, headers: response.headers, body: answered }
  }
  return callerWith(id, token, request)
}

export function callerWith (id: string, token: string, request: Caller['request']): Caller {
  return {
    id,
    token,
    request,
    get: path => request('GET', path),
    post: (path, body, headers) => request('POST', path, body, { headers }),
    put: (path, body) => request('PUT', path, body),
    patch: (path, body) => request('PATCH', path, body),
    delete: path => request('DELETE', path)
  }
}

/** A direct conversation of two; returns its id. */
export async function direct (one: Caller, other: Caller): Promise<string> {
  return (await one.post('/conversations', { type: 'direct', participant_ids: [other.id] })).body.id
}

/** A group whose admin is the first; returns its id. */
export async function group (admin: Caller, ...members: Caller[]): Promise<string> {
  return (await admin.post(
    '/conversations', { type: 'group', participant_ids: members.map(member => member.id), title: 'Group' }
  )).body.id
}

export const send = (
  sender: Caller, conversation_id: string, content: string, more: object = {}
): Promise<Answer> =>
  sender.post('/messages', { conversation_id, content, message_type: 'text', ...more })

export const inboxEnd = async (caller: Caller): Promise<number> =>
  (await caller.get('/inbox?limit=1')).body.last_seq
export const conversationEnd = async (caller: Caller, id: string): Promise<number> =>
  (await caller.get(`/conversations/${id}`)).body.last_seq
