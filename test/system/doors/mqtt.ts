/** MQTT, over TCP and over WebSocket. It has no words for the end of a connection. */
import { randomUUID } from 'node:crypto'
import { type EchoProcess } from '../../support/echo-process.ts'
import { connectPhone } from '../../support/phone.ts'
import { until } from '../../support/until.ts'
import { type Client, type Door, type Who } from './door.ts'

/** What the client chooses; the server waits for half as long again. */
const [PATIENT_S, IMPATIENT_S] = [60, 1]
/** A SUBACK with 128, as this client tells it. */
const NOT_GRANTED = 'Subscribe error: Unspecified error'

const mqttOver = (
  over: 'tcp' | 'ws', name: string, portOf: (echo: EchoProcess) => number
): Door => ({
  name,
  tracked: true,
  portOf,
  connect: (port, who) => connect(over, port, who),
  says: {
    expired: 'closed',
    revoked: 'closed',
    replaced: 'closed',
    refused: 'Connection refused: Bad username or password',
    notYours: NOT_GRANTED
  },
  renews: true,
  missesTheSilent: true,
  async reach (port, { userId, token }, otherId) {
    await using phone =
      await connectPhone({ over, port, userId, token, deviceId: 'reaching', clean: true, subscribe: [] })
    return await phone.client.subscribeAsync(`user/${otherId}/inbox`, { qos: 1 })
      .then(() => 'granted', (error: Error) => error.message)
  }
})

export const MQTT = mqttOver('tcp', 'MQTT', ({ mqttPort }) => mqttPort)
export const MQTT_OVER_WEB_SOCKET = mqttOver('ws', 'MQTT over WebSocket', ({ wsPort }) => wsPort)

async function connect (
  over: 'tcp' | 'ws', port: number, { userId, token, deviceId = 'phone', impatient = false }: Who
): Promise<Client> {
  const phone = await connectPhone({
    over,
    port,
    userId,
    token,
    deviceId,
    keepaliveS: impatient ? IMPATIENT_S : PATIENT_S,
    subscribe: [`user/${userId}/#`]
  })
  const { client, events, others } = phone
  let ended: string | undefined
  client.on('close', () => { ended = 'closed' })
  return {
    events,
    get ended () { return ended },
    async renew (token) {
      const request_id = randomUUID()
      await client.publishAsync(
        `user/${userId}/outbox`, JSON.stringify({ type: 'auth', token, request_id }), { qos: 1 }
      )
      const answer = () => others.find(({ payload }) => payload.request_id === request_id)
      return (await until(answer, 'the token is answered')).payload.type
    },
    [Symbol.asyncDispose]: () => phone[Symbol.asyncDispose]()
  }
}
