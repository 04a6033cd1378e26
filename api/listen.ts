import { type AddressInfo } from 'node:net'
import { type App } from './app.ts'

/** `portVariable` is what an error names as the way out. */
export interface Address { host: string, port: number, portVariable?: string }

/** Returns the port. Throws an Error that names the port and its variable when it cannot listen there; port 0 is any free one. */
export async function listen (
  app: App, { host, port, portVariable = 'HTTP_PORT' }: Address
): Promise<number> {
  try {
    await app.listen({ host, port })
    return (app.server.address() as AddressInfo).port
  } catch (error) {
    await app.close()
    const reason = (error as NodeJS.ErrnoException).code === 'EADDRINUSE'
      ? 'it is in use'
      : (error as Error).message
    throw new Error(`cannot listen for HTTP on port ${port} (${portVariable}): ${reason}`, { cause: error })
  }
}
