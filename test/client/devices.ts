/** Clients of the library, as devices of the users of a running Echo. */
import { createClient, createMemoryStore, type Client, type ClientOptions } from '../../client/index.ts'
import { type Caller } from '../api/api.ts'
import { type Echo } from '../model/world.ts'
import { until } from '../support/until.ts'

/** Reconnects at once, so that tests need not wait. */
export const IMPATIENT = { baseMs: 5, maxMs: 100 }

/** Of a device that is a process of its own, device-process.ts. */
export interface DeviceProcessOptions {
  userId: string
  token: string
  api: string
  mqtt: string
  file: string
  conversationId: string
  /** Written while switched off. */
  texts: string[]
  /** Goes online after that. */
  online: boolean
}

export function deviceOf (
  { api, mqttPort }: Pick<Echo, 'api' | 'mqttPort'>, user: Pick<Caller, 'id' | 'token'>,
  options: Partial<ClientOptions> = {}
): Client {
  return createClient({
    userId: user.id,
    deviceId: 'device',
    token: () => user.token,
    api: api.url,
    mqtt: `mqtt://127.0.0.1:${mqttPort}`,
    store: createMemoryStore(),
    backoff: IMPATIENT,
    ...options
  })
}

export async function startDevice (...args: Parameters<typeof deviceOf>): Promise<Client> {
  const client = deviceOf(...args)
  await client.start()
  try {
    await online(client)
  } catch (error) {
    // Left alone, it would take the place of the device of the next test.
    await client.close()
    throw error
  }
  return client
}

export const online = (client: Client): Promise<unknown> =>
  until(() => client.model.connection.phase === 'online', `${client.deviceId} is online`)
