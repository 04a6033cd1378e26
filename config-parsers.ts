/**
 * How the text of a variable becomes a value.
 *
 * A parser reports what is wrong with `refuse`, in words that follow the name of the variable; `undefined`
 * means that the text has no value at all. No parser of a secret quotes its text.
 */
import { resolve } from 'node:path'

export type Parser<T> = (text: string, refuse: (problem: string) => void) => T | undefined

const SWITCH: Record<string, boolean> = { on: true, true: true, 1: true, off: false, false: false, 0: false }
const LOG_LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent']
const MIN_SECRET_BYTES = 32
const MAX_PORT = 65_535

export const text: Parser<string> = text => text

export const path: Parser<string> = text => resolve(text)

export const integer = (min: number, max: number): Parser<number> => (text, refuse) => {
  const value = Number(text)
  if (/^\d+$/.test(text) && value >= min && value <= max) return value
  refuse(`must be a whole number from ${min} to ${max}, not "${text}"`)
}

export const port = integer(0, MAX_PORT)

export const onOrOff: Parser<boolean> = (text, refuse) => {
  const word = text.toLowerCase()
  if (Object.hasOwn(SWITCH, word)) return SWITCH[word]!
  refuse(`must be on or off, not "${text}"`)
}

export const either = <A extends string, B extends string>(one: A, other: B): Parser<A | B> =>
  (text, refuse) => {
    if (text === one || text === other) return text as A | B
    refuse(`must be ${one} or ${other}, not "${text}"`)
  }

export const logLevel: Parser<string> = (text, refuse) => {
  if (LOG_LEVELS.includes(text)) return text
  refuse(`must be one of ${LOG_LEVELS.join(', ')}`)
}

/** Of apps in a web view, such as capacitor://localhost; URL knows no origin for them. */
const APP_ORIGIN = /^(?!https?:)[a-z][a-z0-9+.-]*:\/\/[a-z0-9.-]+(:\d+)?$/

/** As browsers send them: scheme, host and port, nothing behind. */
const isOrigin = (text: string): boolean =>
  APP_ORIGIN.test(text) || (!text.includes('*') && URL.canParse(text) && new URL(text).origin === text)

export const origins: Parser<string[]> = (text, refuse) => {
  const list = text.split(',').map(origin => origin.trim()).filter(origin => origin !== '')
  for (const origin of list) {
    if (origin === '*' || isOrigin(origin)) continue
    refuse(`must list origins such as https://app.example.com, not "${origin}"`)
  }
  return list
}

/** `schemes` as in `redis:`. The host may be left out where the query names a socket. */
export const url = (...schemes: string[]): Parser<string> => (text, refuse) => {
  if (!schemes.some(scheme => text.startsWith(`${scheme}//`))) {
    refuse(`must begin with ${schemes.map(scheme => `${scheme}//`).join(' or ')}`)
  } else if (text.includes('#')) {
    refuse('has a #, which ends a URL: in a password it is written %23')
  } else if (!URL.canParse(text.replace('@/', '@localhost/'))) {
    refuse('is no URL: in a password, / is written %2F, : %3A, @ %40, ? %3F and % %25')
  }
  return text
}

export const tokenSecret: Parser<Uint8Array> = (text, refuse) => {
  if (Buffer.byteLength(text) < MIN_SECRET_BYTES) refuse(`must have at least ${MIN_SECRET_BYTES} bytes`)
  return new TextEncoder().encode(text)
}

export const keySetUrl: Parser<string> = (text, refuse) => {
  if (!URL.canParse(text) || !/^https?:$/.test(new URL(text).protocol)) refuse('must be an http or https URL')
  return text
}

export const publicKey: Parser<string> = (text, refuse) => {
  if (!text.includes('-----BEGIN PUBLIC KEY-----')) refuse('must be a public key in PEM (SPKI)')
  return text.replaceAll('\\n', '\n')
}

export const standInUrl: Parser<string> = (text, refuse) => {
  if (!URL.canParse(text) || new URL(text).protocol !== 'http:') {
    refuse('must be the http:// URL of a stand-in for FCM')
  }
  return text
}
