/** Of an event; the field comes first in Echo's events, but need not. */
export function seqOf (payload: string): number {
  return parseInt(payload.slice(payload.indexOf('"seq":') + 6, payload.indexOf('"seq":') + 22), 10)
}
