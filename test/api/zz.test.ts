import { expect, test } from 'vitest'
import { direct, send, startTestApi } from './api.ts'
test('x', async () => {
  await using api = await startTestApi()
  const a = await api.user('a'), b = await api.user('b')
  const c = await direct(a, b)
  const m = (await send(a, c, 'x')).body
  console.log(await b.post(`/messages/${m.id}/read`))
  console.log(api.logged.join('\n'))
})
