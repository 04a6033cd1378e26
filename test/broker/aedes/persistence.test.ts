/** What is left in the store of the topics granted by `acl`. */
import { createRequire } from 'node:module'
import { expect, test } from 'vitest'
import { createFencedPersistence, type Persistence } from '../../../broker/aedes/persistence.ts'
import { ConnectionRegistry } from '../../../broker/inbox/registry.ts'

test('a will is removed from the store when its connection is gone already', async () => {
  const inner: Persistence = createRequire(import.meta.url)('aedes-persistence')()
  const persistence = createFencedPersistence({
    registry: new ConnectionRegistry(), inner, acknowledge: () => false
  })
  await persistence.setup({ id: 'broker' })
  const client = { id: 'ann/phone', connection: { identity: { acl: { pub: ['sensors/#'], sub: [] } } } }
  await persistence.putWill(client, { topic: 'sensors/1', messageId: 1 })
  expect(await inner.getWill(client)).toMatchObject({ topic: 'sensors/1' })
  await persistence.delWill({ id: 'ann/phone' })
  expect(await inner.getWill(client)).toBeUndefined()
})
