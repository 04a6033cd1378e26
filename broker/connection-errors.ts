/**
 * Why a connection ended, and who must know. Clients break rules and networks break connections all the
 * time; a script that fails and a bug end connections too, and are found in the log or not at all.
 */
import { findAppError } from '../core/errors.ts'

/** A client broke a rule, or is gone: nothing that anybody has to do something about. */
export class ClientFault extends Error {}

/** What Aedes says of clients. Its errors have no class of their own. */
const SAID_BY_AEDES = new RegExp([
  'keep alive timeout', 'connect did not arrive in time', 'drain timeout', 'connection closed',
  'Invalid protocol', 'unacceptable protocol version', 'identifier rejected', 'topic has too many levels',
  'not allowed in', 'only allowed in', 'impossible to', 'maxInflightInbound', 'packet received not valid'
].join('|'))
/** Of sockets, TLS and WebSocket frames. */
const NETWORK_CODE = /^(E[A-Z]+$|ERR_(STREAM|SSL|TLS|HTTP)|WS_ERR_|HPE_)/
/** Redis is away; whether it is, is in the readiness and in the metrics. */
const REDIS_AWAY = /Command timed out|Connection is closed|max retries per request|Stream isn't writeable/
/** It is there, and cannot answer now. */
const REDIS_BUSY = /^(LOADING|BUSY|MASTERDOWN|READONLY|TRYAGAIN|CLUSTERDOWN) /

export type Level = 'debug' | 'warn' | 'error'

/** An outage of the database is logged where it is noticed, and not once for each connection. */
export function levelOf (error: unknown): Level {
  if (findAppError(error) !== undefined) return 'debug'
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    const { code, name, message } = cause as NodeJS.ErrnoException
    if (cause instanceof ClientFault || NETWORK_CODE.test(code ?? '') || REDIS_AWAY.test(message)) {
      return 'debug'
    }
    if (name === 'ReplyError') return REDIS_BUSY.test(message) ? 'warn' : 'error'
  }
  if (!(error instanceof Error) || error.name !== 'Error') return 'error'
  return SAID_BY_AEDES.test(error.message) ? 'debug' : 'warn'
}
