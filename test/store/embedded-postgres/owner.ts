import pino from 'pino'
import { startEmbeddedPostgres } from '../../../store/embedded-postgres/start.ts'

// A process of its own that owns a folder until SIGTERM. Says how its start
// ended, and when it has been interrupted, in one line of JSON each.
const say = (line: object) => process.stdout.write(JSON.stringify(line) + '\n')

process.on('SIGINT', () => say({ interrupted: true }))
try {
  const server = await startEmbeddedPostgres({ dataDir: process.argv[2]!, log: pino({ level: 'silent' }) })
  const alive = setInterval(() => {}, 60_000)
  process.once('SIGTERM', async () => {
    clearInterval(alive)
    await server[Symbol.asyncDispose]()
  })
  say({ url: server.url })
} catch (error) {
  say({ error: (error as Error).message })
}
