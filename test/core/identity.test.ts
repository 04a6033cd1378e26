/** Which texts are user ids, and what the claims of a token mean. */
import { expect, test } from 'vitest'
import { identityFromClaims, isUserId } from '../../core/identity.ts'
import { isTopicName, ownFilters } from '../../core/topics.ts'

test.each([
  'alice', '0198-4a', 'tenant-1:Al.ice_2', 'auth0|64f1c0ffee0000000000beef', 'waad|x_y-Z', 'ann.lee@example.com',
  '@', '|', 'x'.repeat(64)
])('%s is a user id, in topics too', id => {
  expect(isUserId(id)).toBe(true)
  expect(ownFilters(id)[0]).toBe(`user/${id}/inbox`)
  expect(isTopicName(`user/${id}/inbox`)).toBe(true)
})

// A slash, a space and a wildcard would be read as more than one id where ids are put together.
test.each([
  '', 'x'.repeat(65), 'a/b', 'a b', 'ann+news@example.com', 'a#', 'a\0', 'a\n', 'ä', 'a%7Cb', 'a,b', 'a$b', 7,
  null
])('%j is no user id', id => {
  expect(isUserId(id)).toBe(false)
  expect(() => identityFromClaims({ sub: id, exp: 1 })).toThrow('`sub` must be a user id')
})

test('every claim is read as it is documented', () => {
  expect(identityFromClaims({ sub: 'ann', exp: 7, other: {} })).toEqual({
    userId: 'ann', name: undefined, admin: false, acl: undefined, issuedAt: undefined, expiresAt: 7
  })
  const claims = { sub: 'ann', exp: 7, iat: 3, name: ' Ann ', scope: 'read admin', acl: { pub: ['a/#'] } }
  expect(identityFromClaims(claims)).toEqual({
    userId: 'ann', name: 'Ann', admin: true, acl: { pub: ['a/#'], sub: [] }, issuedAt: 3, expiresAt: 7
  })
  expect(identityFromClaims({ sub: 'ann', exp: 7, scope: ['admin', 7] }).admin).toBe(true)
  expect(identityFromClaims({ sub: 'ann', exp: 7, scope: 'administrator' }).admin).toBe(false)
  // A mark of direction stays, a character that turns it does not.
  expect(identityFromClaims({ sub: 'ann', exp: 7, name: '\u200fA\u202en\u2069\nn' }).name).toBe('\u200fAnn')
  expect(identityFromClaims({ sub: 'ann', exp: 7, name: '😀'.repeat(300) }).name).toBe('😀'.repeat(200))
})

test.each([
  [{ exp: '7' }, '`exp` is required'],
  [{ name: 7 }, '`name` must be a string'],
  [{ acl: 'a/#' }, '`acl` must be']
])('%j makes a token invalid', (claims, problem) => {
  expect(() => identityFromClaims({ sub: 'ann', exp: 7, ...claims })).toThrow(problem)
})
