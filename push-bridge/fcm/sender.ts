/** Carries pushes through Firebase Cloud Messaging, or to a stand-in that speaks its HTTP v1 API. */
import { readFile } from 'node:fs/promises'
import { Agent } from 'node:https'
import { connect } from 'node:net'
import { cert, type AppOptions, type ServiceAccount } from 'firebase-admin/app'
import { startFcmClient } from './client.ts'
import { fcmResult } from './errors.ts'
import { fcmMessage } from './message.ts'
import { type PushSender } from '../sender.ts'

/** `endpoint`: a stand-in at an http URL, which wants no credentials. */
export type FcmTarget = { credentialsFile: string } | { endpoint: string }

const KEEP_ALIVE = { keepAlive: true, maxFreeSockets: 100 }

/** Throws when the service account file cannot be used, and says why. */
export async function startFcmSender (target: FcmTarget): Promise<PushSender & AsyncDisposable> {
  const agent = 'endpoint' in target ? standInAgent(new URL(target.endpoint)) : new Agent(KEEP_ALIVE)
  const client = startFcmClient('endpoint' in target
    ? standInOptions(agent)
    : await googleOptions(target.credentialsFile, agent))
  return {
    async send (pushes) {
      const { responses } = await client.messaging.sendEach(pushes.map(push => fcmMessage(push, Date.now())))
      return responses.map(({ success, error }) => success ? { outcome: 'ok' } : fcmResult(error))
    },
    async [Symbol.asyncDispose] () {
      await client[Symbol.asyncDispose]()
      agent.destroy()
    }
  }
}

async function googleOptions (file: string, httpAgent: Agent): Promise<AppOptions> {
  try {
    const account = JSON.parse(await readFile(file, 'utf8')) as ServiceAccount & { project_id?: string }
    return {
      credential: cert(account, httpAgent), projectId: account.project_id ?? account.projectId, httpAgent
    }
  } catch (error) {
    throw new Error(
      `GOOGLE_APPLICATION_CREDENTIALS: ${file} is no usable service account file: ${(error as Error).message}`
    )
  }
}

const standInOptions = (httpAgent: Agent): AppOptions => ({
  credential: { getAccessToken: async () => ({ access_token: 'stand-in', expires_in: 3_600 }) },
  projectId: 'echo',
  httpAgent
})

// firebase-admin knows one address, which begins with https; the agent decides where that leads.
function standInAgent ({ hostname, port }: URL): Agent {
  const agent = new Agent(KEEP_ALIVE)
  agent.createConnection = () => connect({ host: hostname, port: Number(port === '' ? 80 : port) })
  return agent
}
