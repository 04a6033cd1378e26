/**
 * Every process of the run: PostgreSQL, Redis and Echo, with addresses that stay the same across
 * restarts.
 */
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { issueToken } from '../../messaging/access/tokens.ts'
import { migrate } from '../../migrations/migrate.ts'
import { freePort } from './ports.ts'
import { prepareRedis, type RedisServer } from './redis.ts'
import { startReplicatedPostgres, type ReplicatedPostgres } from './replicas.ts'
import { ServerProcess, type Server } from './server.ts'

const ROOT = new URL('../..', import.meta.url).pathname
const SECRET = 'the secret that the fault harness signs its tokens with'
const TOKEN_TTL_SECONDS = 86_400
/** The one user whose token has the scope. */
export const ADMIN = 'admin'

export type Part = 'broker' | 'api' | 'push-bridge' | 'echo' | 'redis' | 'postgres'

export interface Node { name: string, http: string, mqttPort: number, wsPort: number, grpcPort: number }

export interface Cluster {
  /** What can be struck, by part. `echo` is one process with all roles. */
  parts: Map<Part, Server[]>
  brokers: Node[]
  apis: Node[]
  nodes: Node[]
  redis: RedisServer | undefined
  postgres: ReplicatedPostgres
  close (): Promise<void>
}

export interface ClusterOptions {
  folder: string
  /** One process with all roles instead of two brokers, two APIs and a push-bridge. */
  single: boolean
  fcmEndpoint: string
  onCrash: (name: string, how: string) => void
}

export const token = (userId: string): Promise<string> =>
  issueToken({
    secret: new TextEncoder().encode(SECRET),
    userId,
    ttlSeconds: TOKEN_TTL_SECONDS,
    scope: userId === ADMIN ? 'admin' : undefined
  })

export async function startCluster (
  { folder, single, fcmEndpoint, onCrash }: ClusterOptions
): Promise<Cluster> {
  const parts = new Map<Part, Server[]>()
  const stack: Server[] = []
  const nodes: Node[] = []

  async function open<S extends Server> (part: Part, server: S): Promise<S> {
    stack.push(server)
    await server.start()
    parts.set(part, [...parts.get(part) ?? [], server])
    return server
  }

  async function openNode (
    part: 'broker' | 'api' | 'push-bridge' | 'echo', name: string, env: NodeJS.ProcessEnv
  ): Promise<Node> {
    const [http, mqtt, ws, grpc] = [await freePort(), await freePort(), await freePort(), await freePort()]
    await open(part, new ServerProcess({
      name,
      command: process.execPath,
      args: ['start.js', ...(part === 'echo' ? [] : [part])],
      cwd: ROOT,
      env: {
        PATH: process.env.PATH,
        HOME: process.env.HOME,
        HOST: '127.0.0.1',
        HTTP_PORT: String(http),
        MQTT_PORT: String(mqtt),
        WS_PORT: String(ws),
        GRPC_PORT: String(grpc),
        DATA_DIR: join(folder, 'data'), // the APIs must find each other's attachments
        JWT_SECRET: SECRET,
        RATE_LIMIT_SENDS: '0',
        RATE_LIMIT_REQUESTS: '0',
        LOG_LEVEL: 'info',
        STOP_DELAY_MS: '0',
        ...env
      },
      logFile: join(folder, `${name}.log`),
      isReady: output => output.includes('Echo is ready'),
      onCrash
    }))
    const node = { name, http: `http://127.0.0.1:${http}`, mqttPort: mqtt, wsPort: ws, grpcPort: grpc }
    nodes.push(node)
    return node
  }

  async function close (): Promise<void> {
    for (let server = stack.pop(); server !== undefined; server = stack.pop()) await server.stop()
  }

  try {
    await mkdir(folder, { recursive: true })
    const postgresFolder = join(folder, 'postgres')
    await mkdir(postgresFolder, { mode: 0o700 })
    const postgres = await startReplicatedPostgres(postgresFolder, onCrash)
    stack.push(postgres)
    parts.set('postgres', [postgres])
    await postgres.synchronize()
    await migrate(postgres.url)
    const env: NodeJS.ProcessEnv = { DATABASE_URL: postgres.url }
    if (single) {
      const node = await openNode('echo', 'echo', { ...env, FCM_ENDPOINT: fcmEndpoint })
      return { parts, nodes, brokers: [node], apis: [node], redis: undefined, postgres, close }
    }
    const redis =
      await open('redis', await prepareRedis(join(folder, 'redis'), join(folder, 'redis.log'), onCrash))
    env.REDIS_URL = redis.url
    const brokers = [await openNode('broker', 'broker-1', env), await openNode('broker', 'broker-2', env)]
    const apis = [await openNode('api', 'api-1', env), await openNode('api', 'api-2', env)]
    await openNode('push-bridge', 'push-bridge', { ...env, FCM_ENDPOINT: fcmEndpoint })
    return { parts, nodes, brokers, apis, redis, postgres, close }
  } catch (error) {
    await close()
    throw error
  }
}
