/** Every live door. */
import { type Door } from './door.ts'
import { GRPC } from './grpc.ts'
import { JSON_WITH_ACKS, JSON_WITH_PONGS } from './json-web-socket.ts'
import { MQTT, MQTT_OVER_WEB_SOCKET } from './mqtt.ts'
import { SERVER_SENT_EVENTS } from './server-sent-events.ts'

export const DOORS: Door[] = [
  MQTT, MQTT_OVER_WEB_SOCKET, JSON_WITH_ACKS, JSON_WITH_PONGS, GRPC, SERVER_SENT_EVENTS
]
/** Those of devices. */
export const TRACKED = DOORS.filter(({ tracked }) => tracked)
export const FEEDS = DOORS.filter(({ tracked }) => !tracked)
