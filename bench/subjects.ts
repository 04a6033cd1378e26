/** The servers that are measured. */
import { type Options } from './options.ts'
import { type DatabaseKind, type ServerOptions } from './server.ts'

/** `echo-ws` is Echo whose phones speak JSON over WebSocket. */
export const SERVER_NAMES = ['echo', 'echo-ws', 'one-by-one', 'bare-aedes', 'in-memory', 'floor'] as const
export type ServerName = (typeof SERVER_NAMES)[number]

/** Echo as `npm start` runs it; the yardsticks always from this checkout. */
export function serverOptions (
  name: ServerName, database: DatabaseKind, { cwd, binaries, settings, databaseUrl, profile }: Options
): ServerOptions {
  const shared = { database, databaseUrl, cluster: { binaries, settings }, profile }
  switch (name) {
    case 'echo':
    case 'echo-ws': return { ...shared, cwd, migrate: true }
    case 'one-by-one': return { ...shared, yardstick: name }
    case 'bare-aedes': return { database: 'embedded', yardstick: name }
    case 'in-memory': return { database: 'embedded', yardstick: name }
    case 'floor': return { ...shared, yardstick: 'in-memory' }
  }
}
