/** The servers that are measured. */
import { join } from 'node:path'
import { type Options } from './options.ts'
import { type DatabaseKind, type ServerOptions } from './server.ts'

/** `echo-ws` is Echo whose phones speak JSON over WebSocket. */
export const SERVER_NAMES = ['echo', 'echo-ws', 'one-by-one', 'bare-aedes', 'in-memory'] as const
export type ServerName = (typeof SERVER_NAMES)[number]

const HERE = import.meta.dirname

/** Echo as `npm start` runs it; the yardsticks always from this checkout. */
export function serverOptions (
  name: ServerName, database: DatabaseKind, { cwd, binaries, settings, databaseUrl, profile }: Options
): ServerOptions {
  const shared = { database, databaseUrl, cluster: { binaries, settings }, profile }
  switch (name) {
    case 'echo':
    case 'echo-ws': return { ...shared, entry: 'main.ts', cwd, migrate: true }
    case 'one-by-one': return { ...shared, entry: join(HERE, 'one-by-one.ts') }
    case 'bare-aedes': return { database: 'embedded', entry: join(HERE, 'bare-aedes.ts') }
    case 'in-memory': return { database: 'embedded', entry: join(HERE, 'in-memory.ts') }
  }
}
