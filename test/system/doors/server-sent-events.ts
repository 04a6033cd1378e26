/** Server-sent events: a reader goes on with the last `id` it has. */
import { openEvents } from '../../support/event-stream.ts'
import { type Door, type ToldEvent } from './door.ts'

export const SERVER_SENT_EVENTS: Door = {
  name: 'server-sent events',
  tracked: false,
  portOf: ({ http }) => Number(new URL(http).port),
  says: { expired: 'ended', revoked: 'ended', refused: 'refused with 401' },
  renews: false,
  missesTheSilent: false, // nobody answers to what a stream says
  async connect (port, { token, after, deviceId }) {
    const last = (after as Reader | undefined)?.lastId()
    const reader = await openEvents(`http://127.0.0.1:${port}/api/v1`, token, {
      headers: {
        ...(last === undefined ? {} : { 'last-event-id': String(last) }),
        ...(deviceId === undefined ? {} : { 'x-device-id': deviceId })
      }
    })
    if (reader.status !== 200) throw new Error(`refused with ${reader.status}`)
    return {
      get events (): ToldEvent[] {
        return reader.events().filter(({ id }) => id !== undefined).map(({ data }) => data)
      },
      get ended () { return reader.ended ? 'ended' : undefined },
      lastId: () => reader.blocks.findLast(({ id }) => id !== undefined)?.id,
      async [Symbol.asyncDispose] () { reader[Symbol.dispose]() }
    } as Reader
  }
}

interface Reader extends AsyncDisposable {
  events: ToldEvent[]
  ended: string | undefined
  lastId (): number | undefined
}
