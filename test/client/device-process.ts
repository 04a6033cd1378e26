/**
 * A device of its own, to be killed: it opens a file store, writes messages into its outbox
 * while switched off, and says so. The arguments are one JSON object.
 */
import { createClient } from '../../client/index.ts'
import { openFileStore } from '../../client/store/file.ts'
import { type DeviceProcessOptions } from './devices.ts'

const options: DeviceProcessOptions = JSON.parse(process.argv[2]!)
const client = createClient({
  userId: options.userId,
  deviceId: 'laptop',
  token: () => options.token,
  api: options.api,
  mqtt: options.mqtt,
  store: await openFileStore(options.file),
  backoff: { baseMs: 5, maxMs: 100 }
})
client.setOnline(false)
await client.start()
for (const content of options.texts) await client.send({ conversation_id: options.conversationId, content })
console.log('written')
if (options.online) client.setOnline(true)
setInterval(() => {}, 60_000)
