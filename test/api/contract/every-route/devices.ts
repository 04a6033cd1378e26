import { type Rows, type World } from './world.ts'

const BODY = { platform: 'ios', push_token: 'token' }
const registered = async ({ alice }: World): Promise<string> => {
  await alice.put('/devices/phone', BODY)
  return '/devices/phone'
}

export const devices: Rows = {
  'PUT /devices/{device_id}': {
    success: { 200: ({ alice }) => alice.put('/devices/phone', BODY) },
    problems: { invalid_text: ({ alice }) => alice.put('/devices/a%00', BODY) },
    outsider: 'a device id belongs to its user: another user with the same one has another device'
  },
  'GET /devices': {
    success: { 200: async world => { await registered(world); return await world.alice.get('/devices') } },
    outsider: 'the list is always that of the caller'
  },
  'GET /devices/{device_id}': {
    success: { 200: async world => await world.alice.get(await registered(world)) },
    problems: {
      invalid_text: ({ alice }) => alice.get('/devices/a%00'),
      device_not_found: ({ alice }) => alice.get('/devices/unknown')
    },
    outsider: ['device_not_found', async world => await world.mallory.get(await registered(world))]
  },
  'DELETE /devices/{device_id}': {
    success: { 204: async world => await world.alice.delete(await registered(world)) },
    problems: {
      invalid_text: ({ alice }) => alice.delete('/devices/a%00'),
      device_not_found: ({ alice }) => alice.delete('/devices/unknown')
    },
    outsider: ['device_not_found', async world => await world.mallory.delete(await registered(world))]
  }
}
