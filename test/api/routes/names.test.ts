/** Display names: where they come from, and how others' copies of them follow. */
import { SignJWT } from 'jose'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { SECRET, signToken } from '../../support/tokens.ts'
import { type Caller, direct, group, inboxEnd, ISSUER, startTestApi, type TestApi } from '../api.ts'

let api: TestApi
let bob: Caller

beforeAll(async () => {
  api = await startTestApi()
  bob = await api.user('bob')
  await bob.get('/users/me')
})
afterAll(() => api[Symbol.asyncDispose]())

const now = (): number => Math.floor(Date.now() / 1_000)

/** Shows a token of the caller's that was issued then, and tells the name it leaves them with. */
async function nameAfter (caller: Caller, name: string, issuedAt: number): Promise<string> {
  const token = await signToken(caller.id, { issuer: ISSUER, claims: { name }, issuedAt })
  return (await api.anonymous(token).get('/users/me')).body.name
}

const after = async (caller: Caller, seq: number): Promise<any[]> =>
  (await caller.get(`/inbox?after=${seq}`)).body.events
const nameIn = async (viewer: Caller, id: string, userId: string): Promise<string> =>
  (await viewer.get(`/conversations/${id}`)).body.participants.find((p: any) => p.user_id === userId).name

test('a new name reaches all participants of conversations of up to 32', async () => {
  const [alice, fellow, stranger] =
    [await api.user('alice'), await api.user('fellow'), await api.user('stranger')]
  for (const caller of [alice, fellow, stranger]) await caller.get('/users/me')
  const pair = await direct(alice, bob)
  const small = await group(fellow, alice)
  const { body: { id: full } } = await fellow.post('/conversations', {
    type: 'group', participant_ids: [alice.id, ...Array.from({ length: 30 }, (_, i) => `full-${i}`)]
  })
  await bob.post('/conversations', {
    type: 'group', participant_ids: [alice.id, ...Array.from({ length: 31 }, (_, i) => `large-${i}`)]
  })
  const left = await group(fellow, alice)
  await alice.delete(`/conversations/${left}/participants/${alice.id}`)
  const observed = [alice, bob, fellow, stranger]
  const before = await Promise.all(observed.map(inboxEnd))
  expect((await alice.put('/users/me', { name: 'Alice' })).body.name).toBe('Alice')
  const [own, bobs, fellows, strangers] =
    await Promise.all(observed.map((caller, i) => after(caller, before[i]!)))
  const told = (events: any[]): string[] => events.map(event => event.conversation_id)
  expect(bobs).toEqual([{
    seq: expect.any(Number),
    epoch: api.messaging.epoch,
    type: 'participant_updated',
    conversation_id: pair,
    user_id: alice.id,
    name: 'Alice'
  }])
  expect(told(own!)).toEqual([pair, small, full].sort())
  expect(told(fellows!)).toEqual([small, full].sort())
  expect(strangers).toEqual([])
  expect(await nameIn(bob, pair, alice.id)).toBe('Alice')
})

test('a name that stays as it is makes no event', async () => {
  const alice = await api.user('alice', { claims: { name: 'Alice' } })
  await alice.get('/users/me')
  await direct(alice, bob)
  const before = await inboxEnd(bob)
  await alice.put('/users/me', { name: 'Alice' })
  expect(await after(bob, before)).toEqual([])
})

test('the name of a token becomes the display name, and others learn of it', async () => {
  const alice = await api.user('alice')
  const pair = await direct(bob, alice)
  const before = await inboxEnd(bob)
  expect(await nameAfter(alice, 'Alice', now() - 50)).toBe('Alice')
  expect(await nameAfter(alice, 'Alicia', now() - 40)).toBe('Alicia')
  // Rendered when it is read: both carry the present name.
  expect(await after(bob, before)).toMatchObject([1, 2].map(() =>
    ({ type: 'participant_updated', conversation_id: pair, user_id: alice.id, name: 'Alicia' })))
})

test('a token issued before the name was changed does not change it back, a later one changes it', async () => {
  const alice = await api.user('alice')
  expect(await nameAfter(alice, 'Token', now() - 10)).toBe('Token')
  await alice.put('/users/me', { name: 'Chosen' })
  for (const issuedAt of [now() - 10, now() - 5, now()]) {
    expect(await nameAfter(alice, 'Token', issuedAt)).toBe('Chosen')
  }
  expect(await nameAfter(alice, 'Later', now() + 2)).toBe('Later')
})

test('two tokens with different names do not take turns', async () => {
  const alice = await api.user('alice')
  await direct(alice, bob)
  const before = await inboxEnd(bob)
  for (let turn = 0; turn < 3; turn++) {
    await nameAfter(alice, 'Old', now() - 100)
    expect(await nameAfter(alice, 'New', now() - 50)).toBe('New')
  }
  expect(await after(bob, before)).toHaveLength(2)
})

test('a token without a date names only a user without a name', async () => {
  const alice = await api.user('alice')
  const undated = async (name: string): Promise<string> => {
    const token = await new SignJWT({ name }).setProtectedHeader({ alg: 'HS256' }).setSubject(
      alice.id
    ).setIssuer(ISSUER).setExpirationTime('1h').sign(SECRET)
    return (await api.anonymous(token).get('/users/me')).body.name
  }
  expect(await undated('First')).toBe('First')
  expect(await undated('Second')).toBe('First')
  expect(await nameAfter(alice, 'Dated', now() - 1_000)).toBe('Dated')
  expect(await undated('Third')).toBe('Dated')
})
