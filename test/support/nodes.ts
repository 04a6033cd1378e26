/** Tests with several processes: phones at a broker, requests at an API, the pushes of a bridge. */
import { expect } from 'vitest'
import { token, type EchoProcess } from './echo-process.ts'
import { connectPhone, type Phone, type PhoneOptions } from './phone.ts'
import { restClient, type RestClient } from './rest.ts'

/** What a process is called among the others. */
export const nodeName = ({ output }: EchoProcess): string =>
  /"node":"([^"]+)","msg":"the name of this process/.exec(output())![1]!

/** The REST client of a user at this process. */
export const at = async (api: EchoProcess, userId: string): Promise<RestClient> =>
  restClient(api.api, await token(userId))
export const phone = async (
  broker: EchoProcess, userId: string, options: Partial<PhoneOptions> = {}
): Promise<Phone> =>
  await connectPhone({
    userId, deviceId: 'phone', token: await token(userId), port: broker.mqttPort, ...options
  })

/** The id of the direct conversation of the two. */
export async function direct (api: EchoProcess, a: string, b: string): Promise<string> {
  return (await (await at(api, a))(
    'POST', '/conversations', { type: 'direct', participant_ids: [b] }
  )).body.id
}

export async function say (rest: RestClient, conversation: string, content: string): Promise<{ id: string }> {
  const answer =
    await rest('POST', '/messages', { conversation_id: conversation, content, message_type: 'text' })
  expect(answer).toMatchObject({ status: 201 })
  return answer.body
}

/** What the new messages that came say. */
export const contents = (device: Phone): string[] =>
  device.events.filter(event => event.type === 'new_message').map(event => event.message.content)
/** Publishes to the own outbox; resolves with the PUBACK. */
export async function command (device: Phone, userId: string, body: object): Promise<void> {
  await device.client.publishAsync(`user/${userId}/outbox`, JSON.stringify(body), { qos: 1 })
}

/** The pushes to the user that a bridge without FCM has logged. */
export const pushesOf = (bridge: EchoProcess, userId: string): string[] =>
  bridge.output().split('\n').filter(line => line.includes('"msg":"push"') && line.includes(`"${userId}`))

export async function registerToken (api: EchoProcess, userId: string, deviceId = 'phone'): Promise<void> {
  const { status } = await (await at(api, userId))(
    'PUT', `/devices/${deviceId}`, { platform: 'android', push_token: `${userId}-token` }
  )
  expect(status).toBeLessThan(300)
}
