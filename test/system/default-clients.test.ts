/** Clients as their library makes them, which take a refusal as final, while PostgreSQL is away. */
import { join } from 'node:path'
import mqtt from 'mqtt'
import { expect, test } from 'vitest'
import { Opened } from '../../lifecycle.ts'
import { migrate } from '../../migrations/migrate.ts'
import { preparePostgres } from '../chaos/postgres.ts'
import { scratchFolder, startEcho, token } from '../support/echo-process.ts'
import { until } from '../support/until.ts'

const CLIENTS = 8
/** Long enough for each of them to try again several times. */
const AWAY_MS = 8_000
const BACK_WITHIN_MS = 30_000

test('eight clients of MQTT.js are back by themselves after 8 s without PostgreSQL, with what they had sent', async () => {
  await using opened = new Opened()
  const folder = await opened.add(scratchFolder())
  const postgres = await preparePostgres(join(folder.path, 'postgres'), () => {})
  await postgres.start()
  await opened.add({ async [Symbol.asyncDispose] () { await postgres.stop() } })
  await migrate(postgres.url)
  const echo = await opened.add(startEcho({ dataDir: folder.path, env: { DATABASE_URL: postgres.url } }))

  const clients = await Promise.all(Array.from({ length: CLIENTS }, async (_, i) => {
    const username = `user-${i}`
    const client =
      mqtt.connect({ port: echo.mqttPort, username, password: await token(username), clientId: 'phone' })
    await opened.add({ async [Symbol.asyncDispose] () { await client.endAsync(true) } })
    const seen = { client, username, connects: 0, closes: 0, errors: [] as string[] }
    client.on('connect', () => { seen.connects++ })
    client.on('close', () => { seen.closes++ })
    client.on('error', error => { seen.errors.push(error.message) })
    await until(() => seen.connects === 1, 'it is connected', BACK_WITHIN_MS)
    return seen
  }))

  await postgres.kill()
  const awayAt = performance.now()
  // What cannot be decided closes its connection.
  const acknowledged = clients.map(({ client, username }) => client.publishAsync(
    `user/${username}/outbox`, JSON.stringify({ type: 'read_receipt', message_id: crypto.randomUUID() }),
    { qos: 1 }
  ))
  for (const client of clients) await until(() => client.closes > 0, 'its connection ends', BACK_WITHIN_MS)
  await until(() => performance.now() - awayAt > AWAY_MS, 'PostgreSQL was away for long')
  await postgres.start()

  for (const client of clients) {
    await until(() => client.connects > 1 && client.client.connected, 'it is back', BACK_WITHIN_MS)
  }
  await Promise.all(acknowledged)
  expect(clients.flatMap(({ errors }) => errors)).toEqual([])
})
