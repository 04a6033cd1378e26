/** Echo as a process, the users of a test, and what they do beside the door that is looked at. */
import { expect } from 'vitest'
import { Opened } from '../../../lifecycle.ts'
import { type Timings } from '../../../system.ts'
import { createDatabase } from '../../support/database.ts'
import { scratchFolder, startEcho, token, tokenWith, type EchoProcess } from '../../support/echo-process.ts'
import { program } from '../../support/programs.ts'
import { restClient, type RestClient } from '../../support/rest.ts'
import { until } from '../../support/until.ts'
import { type Client, type Door, type Who } from './door.ts'

/** What an administrator sees of a connection. */
export interface Session { door: string, device_id: string, unacknowledged: number, lag: number }

export interface Party extends AsyncDisposable {
  readonly echo: EchoProcess
  /** `kill -9`, and a new start with what is on the disk. */
  crash (): Promise<void>
  as (userId: string): Promise<RestClient>
  tokenOf (userId: string): Promise<string>
  connect (door: Door, userId: string, who?: Partial<Who>): Promise<Client>
  direct (a: string, b: string): Promise<string>
  group (admin: string, ...members: string[]): Promise<string>
  say (userId: string, conversationId: string, content: string): Promise<void>
  /** What the conversation's messages say, in its order. */
  history (userId: string, conversationId: string): Promise<string[]>
  sessions (userId: string): Promise<Session[]>
  revoke (userId: string): Promise<void>
  /** The client is closed, and Echo has seen it; what it was sent is acknowledged before. */
  leave (door: Door, userId: string, client: Client): Promise<void>
}

/** Nearly 10,000 code points, of four bytes each: a few hundred fill every buffer on the way. */
export const LARGE = '😀'.repeat(9_990)
const PAGE = 200

export interface PartyOptions {
  /** Short times. */
  timings?: Timings
  /** With the database of `npm start`. */
  embedded?: boolean
}

export async function startParty ({ timings = {}, embedded = false }: PartyOptions = {}): Promise<Party> {
  const opened = new Opened()
  const folder = await opened.add(scratchFolder())
  const env: NodeJS.ProcessEnv = { TEST_TIMINGS: JSON.stringify(timings) }
  if (!embedded) env.DATABASE_URL = (await opened.add(createDatabase())).url
  const start = () =>
    opened.add(startEcho({ dataDir: folder.path, entry: [program('impatient')], env }))
  let echo = await start()
  const as = async (userId: string): Promise<RestClient> => restClient(echo.api, await token(userId))
  const rootToken = await tokenWith('root', { scope: 'admin' })
  const root: RestClient = (...request) => restClient(echo.api, rootToken)(...request)

  async function create (type: string, userId: string, participant_ids: string[]): Promise<string> {
    return (await (await as(userId))('POST', '/conversations', { type, participant_ids })).body.id
  }

  const party: Party = {
    get echo () { return echo },
    async crash () {
      await echo.kill()
      echo = await start()
    },
    as,
    tokenOf: token,
    connect: async (door, userId, who = {}) =>
      await door.connect(door.portOf(echo), { userId, token: await token(userId), ...who }),
    direct: (a, b) => create('direct', a, [b]),
    group: (admin, ...members) => create('group', admin, members),
    async say (userId, conversation_id, content) {
      const rest = await as(userId)
      expect(await rest('POST', '/messages', { conversation_id, content, message_type: 'text' }))
        .toMatchObject({ status: 201 })
    },
    async history (userId, conversationId) {
      const rest = await as(userId)
      const contents: string[] = []
      for (let before = ''; ;) {
        const { body } = await rest(
          'GET', `/conversations/${conversationId}/messages?limit=${PAGE}${before}`
        )
        contents.unshift(...body.messages.map(({ content }: any) => content).reverse())
        if (!body.has_more) return contents
        before = `&before_id=${body.messages.at(-1).id}`
      }
    },
    sessions: async userId => (await root('GET', `/admin/users/${userId}/sessions`)).body.sessions,
    revoke: async userId => { await root('POST', `/admin/users/${userId}/revoke`) },
    async leave (door, userId, client) {
      if (door.tracked) {
        await until(async () => (await party.sessions(userId)).every(({ lag }) => lag === 0),
          'everything is acknowledged')
      }
      await client[Symbol.asyncDispose]()
      await until(async () => (await party.sessions(userId)).length === 0, 'the connection is forgotten')
    },
    [Symbol.asyncDispose]: () => opened[Symbol.asyncDispose]()
  }
  return party
}
