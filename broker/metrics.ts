/** What the doors of devices measure. */
import { Counter } from 'prom-client'
import { gaugesOver } from '../messaging/gauges.ts'

export const connectsTotal = new Counter({
  name: 'echo_mqtt_connects_total',
  help: 'CONNECTs by outcome: accepted, refused for good, failed for now',
  labelNames: ['outcome']
})
export const throttledTotal = new Counter({
  name: 'echo_mqtt_throttled_total',
  help:
    'Packets that waited for their turn or lost their connection, by what limits them: commands, topics, filters, pings',
  labelNames: ['limit']
})

export const wsUpgradesTotal = new Counter({
  name: 'echo_ws_connects_total',
  help: 'JSON WebSockets by outcome: accepted, refused for good, failed for now',
  labelNames: ['outcome']
})
export const wsEndsTotal = new Counter({
  name: 'echo_ws_closes_total',
  help: 'JSON WebSockets that the server ended, by close code',
  labelNames: ['code']
})

interface Counts { connections: number, devices: number }

const brokers = gaugesOver<{ counts (): Counts, jsonCounts (): Counts }>()
/** Shows the state of a broker until the returned function is called. */
export const showBroker = brokers.add

brokers.gauge({
  name: 'echo_mqtt_connections',
  help: 'Open connections, those without an accepted CONNECT included',
  of: broker => broker.counts().connections
})
brokers.gauge({
  name: 'echo_mqtt_sessions',
  help: 'Devices connected over MQTT',
  of: broker => broker.counts().devices - broker.jsonCounts().devices
})
brokers.gauge({
  name: 'echo_ws_connections',
  help: 'Open JSON WebSockets, those without an accepted token included',
  of: broker => broker.jsonCounts().connections
})
brokers.gauge({
  name: 'echo_ws_sessions',
  help: 'Devices connected over JSON WebSocket',
  of: broker => broker.jsonCounts().devices
})
