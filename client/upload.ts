/**
 * Uploading a file with progress. Browsers tell of an upload's progress only through XMLHttpRequest;
 * elsewhere the bytes are counted on their way into `fetch`.
 */
import { type Rest } from './rest.ts'
import { type Attachment } from './wire/views.ts'

const PATH = '/attachments'
/** The server's own limit for an upload. */
const TIMEOUT_MS = 600_000
const PIECE = 65_536

export interface UploadOptions {
  name?: string
  /** From 0 to 1. */
  onProgress?: (part: number) => void
  signal?: AbortSignal
}

/** What is used of XMLHttpRequest. */
interface BrowserRequest {
  upload: { onprogress: ((event: { loaded: number, total: number }) => void) | null }
  onload: (() => void) | null
  onerror: (() => void) | null
  onabort: (() => void) | null
  ontimeout: (() => void) | null
  timeout: number
  status: number
  responseText: string
  open (method: string, url: string): void
  setRequestHeader (name: string, value: string): void
  getResponseHeader (name: string): string | null
  send (body: FormData): void
  abort (): void
}

const { XMLHttpRequest: BrowserRequest } =
  globalThis as { XMLHttpRequest?: new () => BrowserRequest }

export async function upload (
  rest: Rest, file: Blob, { name, onProgress = () => {}, signal }: UploadOptions = {}
): Promise<Attachment> {
  const form = new FormData()
  form.append('file', file, name ?? (file as File).name ?? 'file')
  const send = BrowserRequest === undefined ? throughFetch : throughBrowser
  const response = await rest.withToken(
    token => send(rest.address(PATH), token, form, onProgress, signal), signal
  )
  return await response.json() as Attachment
}

async function throughFetch (
  url: string, token: string, form: FormData, onProgress: (part: number) => void,
  signal: AbortSignal | undefined
): Promise<Response> {
  const encoded = new Response(form)
  const bytes = new Uint8Array(await encoded.arrayBuffer())
  let sent = 0
  const body = new ReadableStream<Uint8Array>({
    pull (controller) {
      const piece = bytes.subarray(sent, sent + PIECE)
      sent += piece.length
      onProgress(sent / bytes.length)
      if (piece.length === 0) controller.close()
      else controller.enqueue(piece)
    }
  })
  const timeout = AbortSignal.timeout(TIMEOUT_MS)
  return await fetch(url, {
    method: 'POST',
    body,
    duplex: 'half',
    headers: {
      authorization: `Bearer ${token}`, 'content-type': encoded.headers.get('content-type')!
    },
    signal: signal === undefined ? timeout : AbortSignal.any([timeout, signal])
  } as RequestInit)
}

async function throughBrowser (
  url: string, token: string, form: FormData, onProgress: (part: number) => void,
  signal: AbortSignal | undefined
): Promise<Response> {
  const request = new BrowserRequest!()
  request.open('POST', url)
  request.setRequestHeader('authorization', `Bearer ${token}`)
  request.timeout = TIMEOUT_MS
  request.upload.onprogress = ({ loaded, total }) => onProgress(total === 0 ? 0 : loaded / total)
  const abort = (): void => request.abort()
  signal?.addEventListener('abort', abort, { once: true })
  try {
    await new Promise<void>((resolve, reject) => {
      request.onload = () => resolve()
      request.onerror = request.ontimeout = () => reject(new Error('the upload broke off'))
      request.onabort = () => reject(signal?.reason)
      signal?.throwIfAborted()
      request.send(form)
    })
  } finally {
    signal?.removeEventListener('abort', abort)
  }
  const retryAfter = request.getResponseHeader('retry-after')
  return new Response(request.responseText, {
    status: request.status, headers: retryAfter === null ? {} : { 'retry-after': retryAfter }
  })
}
