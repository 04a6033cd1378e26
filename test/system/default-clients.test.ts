/** Clients as their library makes them, which take a refusal as final, while PostgreSQL is away. */
import mqtt from 'mqtt'
import { expect, test } from 'vitest'
import { Opened } from '../../lifecycle.ts'
import { token } from '../support/echo-process.ts'
import { startOnOwnPostgres } from '../support/own-postgres.ts'
import { until } from '../support/until.ts'

const CLIENTS = 8
/** Long enough for each of them to try again several times. */
const AWAY_MS = 8_000

test('eight clients of MQTT.js are back by themselves after 8 s without PostgreSQL, with what they had sent', async () => {
  await using opened = new Opened()
  const { echo, postgres } = await opened.add(startOnOwnPostgres())

  const clients = await Promise.all(Array.from({ length: CLIENTS }, async (_, i) => {
    const username = `user-${i}`
    const client =
      mqtt.connect({ port: echo.mqttPort, username, password: await token(username), clientId: 'phone' })
    await opened.add({ async [Symbol.asyncDispose] () { await client.endAsync(true) } })
    const seen = { client, username, connects: 0, closes: 0, errors: [] as string[] }
    client.on('connect', () => { seen.connects++ })
    client.on('close', () => { seen.closes++ })
    client.on('error', error => { seen.errors.push(error.message) })
    await until(() => seen.connects === 1, 'it is connected')
    return seen
  }))

  await postgres.kill()
  const awayAt = performance.now()
  // What cannot be decided closes its connection.
  const acknowledged = clients.map(({ client, username }) => client.publishAsync(
    `user/${username}/outbox`, JSON.stringify({ type: 'read_receipt', message_id: crypto.randomUUID() }),
    { qos: 1 }
  ))
  for (const client of clients) await until(() => client.closes > 0, 'its connection ends')
  await until(() => performance.now() - awayAt > AWAY_MS, 'PostgreSQL was away for long')
  await postgres.start()

  for (const client of clients) {
    await until(() => client.connects > 1 && client.client.connected, 'it is back')
  }
  await Promise.all(acknowledged)
  expect(clients.flatMap(({ errors }) => errors)).toEqual([])
})
