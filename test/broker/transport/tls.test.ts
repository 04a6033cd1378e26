/** TLS on the ports of devices: MQTT over TLS, and both kinds of WebSocket. */
import { connect } from 'node:net'
import { connect as connectTls } from 'node:tls'
import mqtt from 'mqtt'
import { expect, test } from 'vitest'
import { startTestBroker } from '../../support/broker.ts'
import { createCertificate } from '../../support/certificate.ts'
import { connectJson } from '../../support/json-device.ts'
import { until } from '../../support/until.ts'

test('with a certificate MQTT over TLS has a port, WebSockets speak TLS, and MQTT_PORT does not', async () => {
  await using certificate = await createCertificate()
  await using broker = await startTestBroker({ broker: { mqttsPort: 0, tls: certificate.pem } })
  const ca = certificate.pem.cert
  const login = { clean: true, username: 'bob', password: await broker.token('bob'), ca, reconnectPeriod: 0 }
  const overTls = await mqtt.connectAsync(`mqtts://localhost:${broker.mqttsPort}`, { ...login, clientId: 'a' })
  const overWss =
    await mqtt.connectAsync(`wss://localhost:${broker.wsPort}/mqtt`, { ...login, clientId: 'b', wsOptions: { ca } })
  await using json = await connectJson(broker.wsPort, {
    url: `wss://localhost:${broker.wsPort}`, token: login.password, options: { ca }
  })
  expect((await broker.device('bob', { deviceId: 'c' })).client.connected).toBe(true)
  await broker.direct('ann', 'bob')
  await until(() => json.events.length === 1, 'an event comes')
  expect(broker.counts()).toMatchObject({ connections: 3, devices: 4 })
  await Promise.all([overTls.endAsync(), overWss.endAsync()])
  await until(() => broker.counts().connections === 1, 'they have left')
})

test('a handshake that is never finished ends in time, and one that is none at once', async () => {
  await using certificate = await createCertificate()
  await using broker =
    await startTestBroker({ broker: { mqttsPort: 0, tls: certificate.pem, connectTimeoutMs: 300 } })
  const closed: string[] = []
  for (const port of [broker.mqttsPort!, broker.wsPort]) {
    connect(port, '127.0.0.1').on('error', () => {}).on('close', () => closed.push('silent'))
    connect(port, '127.0.0.1', function (this: any) { this.write('GET / HTTP/1.1\r\n\r\n') })
      .on('error', () => {}).on('close', () => closed.push('plain')).resume()
  }
  await until(() => closed.length === 4, 'all are closed')
  expect(closed.sort()).toEqual(['plain', 'plain', 'silent', 'silent'])
})

test('a PROXY header comes before the handshake', async () => {
  await using certificate = await createCertificate()
  await using broker =
    await startTestBroker({ broker: { mqttsPort: 0, tls: certificate.pem, proxyProtocol: true } })
  const socket = connect(broker.mqttsPort!, '127.0.0.1')
  socket.write('PROXY TCP4 203.0.113.7 192.0.2.1 4000 8883\r\n')
  const password = await broker.token('bob')
  const tls = connectTls({ socket, ca: certificate.pem.cert, servername: 'localhost' })
  const device = new mqtt.MqttClient(() => tls, {
    clientId: 'phone', username: 'bob', password, reconnectPeriod: 0, clean: true
  })
  await until(() => device.connected, 'it is connected')
  const [connection] = broker.messaging.connections.all()
  expect(connection!.state().address).toBe('203.0.113.7')
  await device.endAsync(true)
})
