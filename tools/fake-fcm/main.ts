/**
 * `npm run fake-fcm [-- --port 9099]`: prints each push it takes. A token says how it is answered,
 * such as `UNREGISTERED-1`.
 */
import { parseArgs } from 'node:util'
import { startFakeFcm, type Reaction } from './server.ts'

const ERRORS = [
  'UNREGISTERED', 'SENDER_ID_MISMATCH', 'INVALID_ARGUMENT', 'QUOTA_EXCEEDED', 'THIRD_PARTY_AUTH_ERROR',
  'UNAVAILABLE', 'INTERNAL', 'UNAUTHENTICATED'
]
const NAMED_ERROR = new RegExp(`^(${ERRORS.join('|')})\\b`)

const { values } = parseArgs({ options: { port: { type: 'string', default: '9099' } } })
const fcm = await startFakeFcm({
  port: Number(values.port),
  onPush: ({ token, message }) => {
    const { title, body } = message.notification ?? {}
    const shown = body === undefined ? '(silent)' : [title, body].filter(Boolean).join(' | ')
    console.log([new Date().toISOString(), token, shown, JSON.stringify(message.data)].join('  '))
  }
})
fcm.react(token => {
  const name = NAMED_ERROR.exec(token)?.[1]
  return name === undefined ? undefined : { error: name } as Reaction
})
console.log(`A stand-in for FCM listens: FCM_ENDPOINT=${fcm.url}, and ${fcm.url}/pushes lists what it took.`)
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => {
    fcm[Symbol.asyncDispose]().then(() => process.exit(0), () => process.exit(1))
  })
}
