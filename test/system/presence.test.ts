/** Presence and revocation across processes. */
import { expect, test } from 'vitest'
import { startCluster } from '../support/cluster.ts'
import { token, tokenWith } from '../support/echo-process.ts'
import { connectPhone } from '../support/phone.ts'
import { program } from '../support/programs.ts'
import { restClient } from '../support/rest.ts'
import { until } from '../support/until.ts'

test('a revocation ends sessions on every broker, and users of a killed broker go offline', async () => {
  await using cluster = await startCluster(program('impatient'))
  const [one, two, api] =
    await Promise.all([cluster.start('broker'), cluster.start('broker'), cluster.start('api')])
  const tokens =
    { ann: await token('ann'), bob: await token('bob'), root: await tokenWith('root', { scope: 'admin' }) }
  const [asAnn, asBob, asRoot] =
    [restClient(api.api, tokens.ann), restClient(api.api, tokens.bob), restClient(api.api, tokens.root)]
  await asAnn('POST', '/conversations', { type: 'direct', participant_ids: ['bob'] })
  await asAnn('POST', '/conversations', { type: 'direct', participant_ids: ['carl'] })
  await using bob = await connectPhone({
    userId: 'bob', deviceId: 'phone', token: tokens.bob, port: two.mqttPort, subscribe: ['user/bob/live']
  })
  const states = (): boolean[] =>
    bob.others.filter(({ payload }) => payload.user_id === 'ann').map(({ payload }) => payload.online)
  const phones = await Promise.all([one, two].map((node, i) =>
    connectPhone({ userId: 'ann', deviceId: `phone-${i}`, token: tokens.ann, port: node.mqttPort })))
  await until(() => states().at(-1) === true, 'bob hears that ann is there')
  await until(async () => (await asBob('GET', '/users/ann/presence')).body.online, 'the API knows it, too')

  expect((await asRoot('POST', '/admin/users/ann/revoke')).status).toBe(204)
  await until(() => phones.every(phone => !phone.client.connected), 'both sessions have ended')
  await until(async () => (await asAnn('GET', '/users/me')).status === 401, 'the API refuses the token')
  await until(() => states().at(-1) === false, 'bob hears that ann has gone')

  const later = await token('ann')
  await using back =
    await connectPhone({ userId: 'ann', deviceId: 'phone-0', token: later, port: one.mqttPort })
  await until(() => states().at(-1) === true, 'bob hears that ann is back')
  await one.kill()
  await until(() => !back.client.connected, 'ann has lost the connection')
  await until(() => states().at(-1) === false, 'bob hears that ann has gone')
  expect((await asBob('GET', '/users/ann/presence')).body).toMatchObject({
    online: false, last_seen_at: expect.any(String)
  })
})
