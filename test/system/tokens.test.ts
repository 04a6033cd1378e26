/** The examples of docs/tokens.md: what they issue, Echo takes at every door. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { symlink, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { expect, test } from 'vitest'
import { freePort } from '../chaos/ports.ts'
import { scratchFolder, startEchoAlone } from '../support/echo-process.ts'
import { openEvents } from '../support/event-stream.ts'
import { grpcClient, refused } from '../support/grpc-client.ts'
import { connectJson } from '../support/json-device.ts'
import { connectPhone } from '../support/phone.ts'
import { restClient } from '../support/rest.ts'
import { until } from '../support/until.ts'

const text = readFileSync(resolve(import.meta.dirname, '../../docs/tokens.md'), 'utf8')
const [withSecret, withKeySet] = [...text.matchAll(/^```js\n([\s\S]*?)^```$/gm)].map(match => match[1]!)
const SECRET = 'a secret that a company shares with its Echo'

/** A file of the company: it runs with the packages that are installed here. */
async function companyFile (folder: string, code: string): Promise<string> {
  const file = join(folder, 'company.mjs')
  await writeFile(file, code)
  await symlink(resolve('node_modules'), join(folder, 'node_modules'))
  return file
}

async function run (file: string, env: NodeJS.ProcessEnv): Promise<unknown> {
  const child = spawn(process.execPath, [file], {
    stdio: ['ignore', 'pipe', 'inherit'], env: { ...process.env, ...env }
  })
  let output = ''
  child.stdout.setEncoding('utf8').on('data', chunk => { output += chunk })
  await once(child, 'close')
  return JSON.parse(output)
}

test('what a server with the secret of Echo issues opens every door, and its acl topics to a device', async () => {
  await using folder = await scratchFolder()
  const file = await companyFile(folder.path, `${withSecret}
    console.log(JSON.stringify([
      await issueToken({ id: 'ann@example.com', name: 'Ann' }), await issueDeviceToken('7')
    ]))`)
  const [token, deviceToken] = await run(file, { JWT_SECRET: SECRET }) as [string, string]
  await using echo = await startEchoAlone({
    env: { JWT_SECRET: SECRET, JWT_ISSUER: 'https://login.example.com', JWT_AUDIENCE: 'echo' }
  })

  const { body } = await restClient(echo.api, token)('GET', '/users/me')
  expect(body).toMatchObject({ id: 'ann@example.com', name: 'Ann' })
  await using json = await connectJson(echo.wsPort, { token })
  expect(json.closed).toBeUndefined()
  using events = await openEvents(echo.api, token)
  expect(events.status).toBe(200)
  using grpc = grpcClient(echo.grpcPort, token)
  const unknown = '01980f5c-6f1e-7cc3-98a4-1d2b3c4d5e6f'
  expect((await refused(grpc.getMessages({ conversation_id: unknown }))).status).toBe('NOT_FOUND')
  await using phone = await connectPhone({
    userId: 'ann@example.com', deviceId: 'phone', token, port: echo.mqttPort
  })
  expect(phone.client.connected).toBe(true)

  await using sensor = await connectPhone({
    userId: 'thermostat-7', deviceId: 'sensor', token: deviceToken, port: echo.mqttPort, subscribe: []
  })
  const granted = await sensor.client.subscribeAsync(['commands/7', 'commands/8'], { qos: 1 })
    .catch((error: { packet: { granted: number[] } }) => error.packet.granted)
  expect(granted).toEqual([1, 128])
  await sensor.client.publishAsync('sensors/7/state', '{"celsius":21}', { qos: 1 })
  sensor.client.publish('sensors/8/state', '{}')
  await until(() => !sensor.client.connected, 'another sensor\'s topic ends the connection')
})

test('what a server with a key set of its own issues is verified by it', async () => {
  await using folder = await scratchFolder()
  const port = await freePort()
  const file = await companyFile(folder.path, withKeySet!)
  const company = spawn(process.execPath, [file], {
    stdio: 'inherit', env: { ...process.env, PORT: String(port) }
  })
  try {
    const login = async (cookie: string): Promise<Response> =>
      await fetch(`http://127.0.0.1:${port}/token`, { headers: { cookie } })
    await until(() => login('').then(({ status }) => status === 401, () => false), 'the server runs')
    const { token } = await (await login('session=1')).json() as { token: string }
    await using echo = await startEchoAlone({
      env: {
        JWT_SECRET: '', JWT_JWKS_URL: `http://127.0.0.1:${port}/.well-known/jwks.json`, JWT_AUDIENCE: 'echo'
      }
    })
    const { body } = await restClient(echo.api, token)('GET', '/users/me')
    expect(body).toMatchObject({ id: 'auth0|64f1c0ffee', name: 'Ann Lee' })
    const [head, , signature] = token.split('.')
    const claims = Buffer.from('{"sub":"somebody-else","aud":"echo","exp":9999999999}').toString('base64url')
    const forged = await restClient(echo.api, `${head}.${claims}.${signature}`)('GET', '/users/me')
    expect(forged.status).toBe(401)
  } finally {
    company.kill()
  }
})
