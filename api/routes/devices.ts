/** Devices: their push tokens and cursors. */
import { Type } from 'typebox'
import { AppError } from '../../core/errors.ts'
import { checkText } from '../../core/message-rules.ts'
import { type Messaging } from '../../messaging/start.ts'
import {
  listDevices, MAX_REGISTERED_DEVICES, registerDevice, removeDevice, type Device as StoredDevice
} from '../../store/people/devices.ts'
import { type App } from '../app.ts'
import { callerOf } from '../authentication.ts'
import { NoContent, operation, problems } from '../contract/operations.ts'
import { Device, DeviceId, Platform, refer } from '../contract/schemas.ts'

const OneDevice = Type.Object({ device_id: DeviceId })

// Printable ASCII is what push services issue; the length fits into an index row.
const PushToken = Type.String({
  pattern: '^[\\x21-\\x7e]{1,1024}$',
  description: 'As issued by the push service',
  examples: ['fcm-registration-token']
})

export function deviceRoutes (app: App, { database }: Messaging): void {
  app.put('/devices/:device_id', {
    schema: {
      ...operation('devices', 'Register a push token'),
      description: 'A token belongs to one device of one user: the latest registration wins. ' +
        `A user has at most ${MAX_REGISTERED_DEVICES} registered devices; of more, the one not seen for longest goes.`,
      params: OneDevice,
      body: Type.Object({ platform: Platform, push_token: PushToken }, { additionalProperties: false }),
      response: { 200: refer(Device, 'Registered'), ...problems('invalid_text') }
    }
  }, async request => {
    const { platform, push_token } = request.body
    const deviceId = checked(request.params.device_id)
    return view(await database.transact(tx =>
      registerDevice(tx, callerOf(request).userId, deviceId, { platform, pushToken: push_token })))
  })

  app.get('/devices', {
    schema: {
      ...operation('devices', 'List own devices'),
      response: { 200: Type.Object({ devices: Type.Array(refer(Device)) }, { description: 'By device id' }) }
    }
  }, async request =>
    ({ devices: (await listDevices(database.autocommit, callerOf(request).userId)).map(view) }))

  app.get('/devices/:device_id', {
    schema: {
      ...operation('devices', 'Read one device'),
      params: OneDevice,
      response: { 200: refer(Device, 'The device'), ...problems('invalid_text', 'device_not_found') }
    }
  }, async request => {
    const deviceId = checked(request.params.device_id)
    const devices = await listDevices(database.autocommit, callerOf(request).userId)
    const device = devices.find(device => device.device_id === deviceId)
    if (device === undefined) throw unknownDevice()
    return view(device)
  })

  app.delete('/devices/:device_id', {
    schema: {
      ...operation('devices', 'Forget a device, its push token and its cursor'),
      params: OneDevice,
      response: { 204: NoContent, ...problems('invalid_text', 'device_not_found') }
    }
  }, async (request, reply) => {
    const deviceId = checked(request.params.device_id)
    if (!await removeDevice(database.autocommit, callerOf(request).userId, deviceId)) throw unknownDevice()
    return await reply.code(204).send(null)
  })
}

function checked (deviceId: string): string {
  checkText(deviceId, 'device_id')
  return deviceId
}

const view = (device: StoredDevice) => ({ ...device, last_seen_at: device.last_seen_at.toISOString() })

const unknownDevice = (): AppError => new AppError('not_found', 'device_not_found', 'you have no such device')
