import { type AddressInfo } from 'node:net'
import { type App } from './app.ts'

/** `portVariable` names the variable to change when the port is taken. */
export interface Address { host: string, port: number, portVariable?: string }

/** Returns the port; 0 asks for any free one. Throws an Error that names the port and its variable. */
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
