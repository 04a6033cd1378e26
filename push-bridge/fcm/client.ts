/**
 * firebase-admin with two things it has no option for. Both lie in one object of
 * its own, which is looked for at start: a version without it does not start.
 *
 * Its retries are off. They would go on behind a push that was given back already,
 * and send it twice; and they wait in memory, where a crash forgets them.
 *
 * A refusal comes out as it was. The public errors join what must be kept apart: a wrong project
 * (NOT_FOUND) with a token that is gone (UNREGISTERED), credentials of ours with Apple's, and they
 * drop Retry-After.
 */
import { initializeApp, deleteApp, type AppOptions } from 'firebase-admin/app'
import { getMessaging, type Messaging } from 'firebase-admin/messaging'
import { FcmRefusal, NotSent } from './errors.ts'
import { createSlots } from '../pace/slots.ts'

const FCM_ERROR = 'type.googleapis.com/google.firebase.fcm.v1.FcmError'
/** Over HTTP/1.1 each is a connection; at 50 ms an answer they carry 2,000 pushes a second. */
const REQUESTS_IN_FLIGHT = 100
/** A request not begun by then is given back unsent; a begun one ends within firebase-admin's 15 s. */
const MAX_WAIT_MS = 10_000

interface Response {
  status: number
  headers: Record<string, string | undefined>
  isJson (): boolean
  data: any
}
interface HttpClient { retry?: unknown, send (request: object): Promise<Response> }

let opened = 0

export interface FcmClient extends AsyncDisposable { messaging: Messaging }

export function startFcmClient (options: AppOptions): FcmClient {
  const app = initializeApp(options, `echo-${++opened}`)
  const messaging = getMessaging(app)
  // HTTP/2 would ignore the agent, and so could not be led to a stand-in.
  messaging.enableLegacyHttpTransport()
  adapt(messaging)
  return { messaging, [Symbol.asyncDispose]: () => deleteApp(app) }
}

function adapt (messaging: Messaging): void {
  const client = (messaging as unknown as {
    messagingRequestHandler?: { httpClient?: HttpClient }
  }).messagingRequestHandler?.httpClient
  if (typeof client?.send !== 'function' || client.retry === undefined) {
    throw new Error('this version of firebase-admin sends in a way that Echo does not know')
  }
  const send = client.send.bind(client)
  const slots =
    createSlots(REQUESTS_IN_FLIGHT, MAX_WAIT_MS, () => new NotSent('no connection was free in time'))
  client.retry = undefined
  client.send = request => slots.run(async () => {
    try {
      return await send(request)
    } catch (error) {
      const { response } = error as { response?: Response }
      throw response === undefined ? error : refusalOf(response)
    }
  })
}

function refusalOf (response: Response): FcmRefusal {
  const error = response.isJson() ? response.data?.error : undefined
  const details: Array<Record<string, unknown>> = Array.isArray(error?.details) ? error.details : []
  return new FcmRefusal({
    status: response.status,
    code: details.find(detail => detail['@type'] === FCM_ERROR)?.errorCode as string | undefined,
    detail: String(error?.message ?? 'no reason given').slice(0, 200),
    retryAfterMs: retryAfterMs(response.headers['retry-after'])
  })
}

/** RFC 9110: seconds, or a date. */
function retryAfterMs (header: string | undefined): number | undefined {
  if (header === undefined) return undefined
  const ms = /^\d+$/.test(header) ? Number(header) * 1_000 : Date.parse(header) - Date.now()
  return Number.isFinite(ms) ? Math.max(0, ms) : undefined
}
