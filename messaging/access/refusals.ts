/**
 * Connections that are refused, in the log: who asked, from where, and why not.
 *
 * Whoever is refused chose their own client id and user name, and may come as often as they like. So texts
 * are cut, and a minute has at most LINES lines, LINES_PER_ADDRESS of one address; the rest is a number.
 */
import { type Logger } from 'pino'
import { addressKey } from '../../core/address.ts'

const MINUTE_MS = 60_000
const LINES = 100
const LINES_PER_ADDRESS = 5
const SHOWN_CHARACTERS = 128
const TOKEN = /\beyJ[\w-]*\.[\w-]*/

export interface Refused {
  door: 'mqtt' | 'websocket' | 'grpc'
  address: string | undefined
  /** Device or client id, as it was given. */
  clientId?: string
  /** Of the token, where that is known; else as it was given. */
  user?: string
  /** In the terms of the door. */
  code: number | string
  reason: string
}

export interface Refusals extends Disposable {
  note (refused: Refused): void
}

export function createRefusals (log: Logger): Refusals {
  /** Lines by address; as many addresses as there are lines. */
  const lines = new Map<string, number>()
  let told = 0
  let untold = 0
  let minute: NodeJS.Timeout | undefined

  function endMinute (): void {
    clearTimeout(minute)
    minute = undefined
    if (untold > 0) log.info({ refused: untold }, 'more connections were refused in the last minute')
    told = untold = 0
    lines.clear()
  }

  return {
    note ({ door, address, clientId, user, code, reason }) {
      minute ??= setTimeout(endMinute, MINUTE_MS).unref()
      const key = addressKey(address ?? '')
      const before = lines.get(key) ?? 0
      if (told === LINES || before === LINES_PER_ADDRESS) {
        untold++
        return
      }
      told++
      lines.set(key, before + 1)
      log.info({
        door, address, client_id: shown(clientId), user_id: shown(user), code, reason: shown(reason)
      }, 'a connection was refused')
    },
    [Symbol.dispose]: endMinute
  }
}

// Some put their token where the user name belongs.
function shown (text: string | undefined): string | undefined {
  if (text === undefined) return undefined
  if (TOKEN.test(text)) return 'a token'
  return text.length > SHOWN_CHARACTERS ? `${text.slice(0, SHOWN_CHARACTERS)}…` : text
}
