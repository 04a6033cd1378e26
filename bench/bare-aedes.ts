/** The yardstick for idle devices: Aedes as it comes, with nothing behind it. Not part of Echo. */
import { Aedes } from 'aedes'
import { createServer, type AddressInfo } from 'node:net'

const aedes = await Aedes.createBroker()
const server = createServer({ noDelay: true, keepAlive: true }, aedes.handle)
await new Promise<void>(resolve => { server.listen(0, '127.0.0.1', resolve) })
console.log(`REST http://127.0.0.1:0/api/v1\nMQTT mqtt://127.0.0.1:${(server.address() as AddressInfo).port}`)
process.once('SIGTERM', () => process.exit(0))
