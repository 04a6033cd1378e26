/** What a row of the table says of one operation, and the users and data that its requests find. */
import { type Answer, type Caller, group, send, type TestApi } from '../../api.ts'

export type Ask = (world: World) => Promise<Answer>

export interface Row {
  /** For each 2xx and 3xx status that is documented, a request that gets it. */
  success: Record<number, Ask>
  /** For each code of the operation's own, a request that gets it; or why no request can. */
  problems?: Record<string, Ask | string>
  /** What a user gets who has no business here; or why no user is an outsider. */
  outsider: [code: string, ask: Ask] | string
}

export type Rows = Record<string, Row>

export interface World {
  api: TestApi
  /** Alice and bob share the direct conversation `pair` and the group `team`, whose admin is alice. */
  alice: Caller
  bob: Caller
  pair: string
  team: string
  /** Was in `team` and has left. */
  carol: Caller
  /** Shares nothing with the others. */
  mallory: Caller
  /** Has the scope `admin`. */
  root: Caller
  /** A message of alice, in `pair` unless said otherwise. */
  say (conversationId?: string): Promise<any>
  /** Another group of alice and bob, for what changes it. */
  newTeam (): Promise<string>
}

export async function makeWorld (api: TestApi): Promise<World> {
  const user = (name: string, scope?: string): Promise<Caller> =>
    api.user(name, scope === undefined ? {} : { claims: { scope } })
  const [alice, bob, carol, mallory, root] =
    await Promise.all([user('alice'), user('bob'), user('carol'), user('mallory'), user('root', 'admin')])
  // Every user has been seen once.
  await Promise.all([alice, bob, carol, mallory, root].map(caller => caller.get('/users/me')))
  const pair = (await alice.post('/conversations', { type: 'direct', participant_ids: [bob.id] })).body.id
  const team = await group(alice, bob, carol)
  await carol.delete(`/conversations/${team}/participants/${carol.id}`)
  return {
    api,
    alice,
    bob,
    carol,
    mallory,
    root,
    pair,
    team,
    say: async (conversationId = pair) => (await send(alice, conversationId, 'Hello!')).body,
    newTeam: () => group(alice, bob)
  }
}

/** An id that nothing has. */
export const UNKNOWN = '01980f5c-6f1e-7cc3-98a4-000000000000'
