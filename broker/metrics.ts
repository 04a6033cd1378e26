/** What the MQTT door measures. */
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
    'Packets that waited for their turn or lost their connection, by what limits them: commands, topics, filters',
  labelNames: ['limit']
})

const brokers = gaugesOver<{ counts (): { connections: number, devices: number } }>()
/** Shows the state of a broker until the returned function is called. */
export const showBroker = brokers.add

brokers.gauge({
  name: 'echo_mqtt_connections',
  help: 'Open connections, those without an accepted CONNECT included',
  of: broker => broker.counts().connections
})
brokers.gauge({
  name: 'echo_mqtt_sessions', help: 'Connected devices', of: broker => broker.counts().devices
})
