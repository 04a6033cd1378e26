/** What is left in the store of the topics granted by `acl`. */
import { createRequire } from 'node:module'
import { expect, test } from 'vitest'
import { createFencedPersistence, willOf, type Persistence } from '../../../broker/aedes/persistence.ts'
import { ConnectionRegistry } from '../../../broker/inbox/registry.ts'

test('a will is removed from the store when its connection is gone already', async () => {
  const inner: Persistence = createRequire(import.meta.url)('aedes-persistence')()
  const persistence = createFencedPersistence({
    registry: new ConnectionRegistry(), inner, acknowledge: () => false
  })
  await persistence.setup({ id: 'broker' })
  const connection = {
    clientId: 'ann/phone', lease: 7, identity: { acl: { pub: ['sensors/#'], sub: [] } }
  }
  const client = { id: 'ann/phone', connection }
  await persistence.putWill(client, { topic: 'sensors/1', messageId: 1 })
  expect(await inner.getWill(willOf(connection))).toMatchObject({ topic: 'sensors/1' })
  await persistence.delWill({ id: 'ann/phone' })
  expect(await inner.getWill(willOf(connection))).toBeUndefined()
})
