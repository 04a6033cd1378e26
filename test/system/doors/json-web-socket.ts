/** JSON over WebSocket: a client that acknowledges with `ack`, and one that only answers pings. */
import { randomUUID } from 'node:crypto'
import { connectJson } from '../../support/json-device.ts'
import { until } from '../../support/until.ts'
import { type Client, type Door, type Who } from './door.ts'

const jsonWith = (acknowledgements: 'acks' | 'pongs'): Door => ({
  name: `JSON over WebSocket, ${acknowledgements}`,
  tracked: true,
  portOf: ({ wsPort }) => wsPort,
  connect: (port, who) => connect(acknowledgements, port, who),
  says: {
    expired: '4401 its token has expired',
    revoked: '4401 its token was revoked',
    replaced: '4409 the device connected again',
    refused: 'refused with 401'
  },
  renews: true,
  missesTheSilent: true
})

export const JSON_WITH_ACKS = jsonWith('acks')
export const JSON_WITH_PONGS = jsonWith('pongs')

async function connect (
  acknowledgements: 'acks' | 'pongs', port: number, { token, deviceId = 'phone' }: Who
): Promise<Client> {
  const device = await connectJson(port, { token, deviceId })
  const events: Client['events'] = []
  const take = (event: any): void => {
    if (event.seq === undefined) return
    events.push(event)
    if (acknowledgements === 'acks') device.send({ type: 'ack', seq: event.seq })
  }
  device.frames.forEach(take)
  device.ws.on('message', data => take(JSON.parse(data.toString())))
  return {
    events,
    get ended () {
      return device.closed === undefined ? undefined : `${device.closed.code} ${device.closed.reason}`
    },
    async renew (token) {
      const request_id = randomUUID()
      device.send({ type: 'auth', token, request_id })
      const answer = () => device.replies.find(reply => reply.request_id === request_id)
      return (await until(answer, 'the token is answered')).type
    },
    [Symbol.asyncDispose]: () => device[Symbol.asyncDispose]()
  }
}
