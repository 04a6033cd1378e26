/**
 * The health service (grpc.health.v1), for balancers and for clients that watch it. As `/ready` it says
 * NOT_SERVING while the database is away, and once the process stops.
 */
import { type Server } from '@grpc/grpc-js'
import { HealthImplementation } from 'grpc-health-check'

const LOOK_EVERY_MS = 1_000

export interface Health {
  /** NOT_SERVING from here on. */
  leave (): void
}

/** `services` besides the server as a whole. `awayMs`: for how long the database has been away. */
export function startHealth (
  server: Server, { services, awayMs }: { services: string[], awayMs: () => number }
): Health {
  const names = ['', ...services]
  const health = new HealthImplementation(Object.fromEntries(names.map(name => [name, 'SERVING'])))
  health.addToServer(server)
  let serving = true

  // Those who watch are told of each change once.
  function show (now: boolean): void {
    if (serving === now) return
    serving = now
    for (const name of names) health.setStatus(name, serving ? 'SERVING' : 'NOT_SERVING')
  }

  const timer = setInterval(() => show(awayMs() === 0), LOOK_EVERY_MS)
  return {
    leave () {
      clearInterval(timer)
      show(false)
    }
  }
}
