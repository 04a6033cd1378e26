/** Says what a return to the network brought: how many events, and how fast. */
import type { Client } from '@echo/client'

/** After the last event. */
const QUIET_MS = 700

export function catchUps (client: Client, tell: (text: string) => void): void {
  let since: number | undefined
  let [events, lastAt] = [0, 0]
  let away = false
  let timer: ReturnType<typeof setTimeout> | undefined

  function conclude (): void {
    const ms = Math.round(lastAt - since!)
    since = undefined
    if (events > 0) tell(`Caught up with ${events} ${events === 1 ? 'event' : 'events'} in ${ms} ms`)
  }

  client.on('connection', ({ phase }) => {
    if (phase === 'off' || phase === 'waiting') {
      away = true
      tell('')
    } else if (phase === 'connecting' && away) {
      away = false
      events = 0
      since = lastAt = performance.now()
    } else if (phase === 'online' && since !== undefined) {
      clearTimeout(timer)
      timer = setTimeout(conclude, QUIET_MS)
    }
  })
  client.on('event', () => {
    if (since === undefined) return
    events++
    lastAt = performance.now()
    clearTimeout(timer)
    timer = setTimeout(conclude, QUIET_MS)
  })
}
