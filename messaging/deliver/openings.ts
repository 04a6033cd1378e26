/**
 * Devices that connect: what the database is asked for them, in sets.
 *
 * The starting point is read together with the lease. The caller listens for the user's
 * events before it asks, and so misses nothing: events from before the read are in the
 * starting point, and it hears of later ones. A cursor that is slightly old only sends
 * events again. What was read in an epoch that is over by the time of the answer is read again.
 */
import { type Database } from '../../store/database.ts'
import {
  openDevices, saveSubscriptions, startingPoints, type DeviceId, type OpenedDevice, type OpeningDevice,
  type SessionChange, type StartingPoint
} from '../../store/people/device-sessions.ts'
import { createSetQueue } from '../set-queue.ts'

export interface Openings {
  /**
   * A connection of the device begins and replaces every earlier one. Undefined: `wanted` said no
   * when its turn came. Throws `unavailable` when the database is away.
   */
  open (device: OpeningDevice, wanted: () => boolean): Promise<OpenedDevice | undefined>
  /** Stores the subscriptions of a session and says where delivery may start. Throws as above. */
  save (change: SessionChange): Promise<StartingPoint | undefined>
  /** Where delivery may start; undefined: the user is not stored. Throws as above. */
  locate (device: DeviceId): Promise<StartingPoint | undefined>
}

/**
 * Tells devices that come back in a new epoch. Called before they are opened: what fails is done with the
 * next attempt.
 */
export type TellResync = (devices: DeviceId[]) => Promise<void>

export function createOpenings ({ database: { opening }, epoch, acknowledgements, tellResync }: {
  database: Pick<Database, 'opening'>
  epoch: () => string
  acknowledgements: { settled (userId: string): Promise<void> }
  tellResync: TellResync
}): Openings {
  // What an earlier connection on this node has collected is written while that one
  // still counts, and before the cursor is read.
  const afterSettling = <Device extends DeviceId, Result>(
    ask: (devices: Device[]) => Promise<Result[]>
  ) => createSetQueue<Device, Result>({
      keyOf: ({ userId, deviceId }) => `${userId}/${deviceId}`,
      async run (devices) {
        await Promise.all(devices.map(({ userId }) => acknowledgements.settled(userId)))
        for (let asked = epoch(); ; asked = epoch()) {
          const answers = await inLockOrder(devices, ask)
          if (asked === epoch()) return answers
        }
      }
    })
  const opens = afterSettling(async (devices: OpeningDevice[]) => {
    await tellResync(devices)
    return await openDevices(opening, devices)
  })
  const saves = afterSettling((changes: SessionChange[]) => saveSubscriptions(opening, changes))
  const starts = afterSettling((devices: DeviceId[]) => startingPoints(opening, devices))
  return {
    open: (device, wanted) => opens.run(device, wanted),
    save: change => saves.run(change),
    locate: device => starts.run(device)
  }
}

// As acknowledgements lock devices: by user, then by device.
async function inLockOrder<Device extends DeviceId, Result> (
  devices: Device[], ask: (devices: Device[]) => Promise<Result[]>
): Promise<Result[]> {
  const order = [...devices.keys()].sort((a, b) =>
    compare(devices[a]!.userId, devices[b]!.userId) || compare(devices[a]!.deviceId, devices[b]!.deviceId))
  const answers = await ask(order.map(i => devices[i]!))
  const results: Result[] = []
  order.forEach((i, at) => { results[i] = answers[at]! })
  return results
}

const compare = (a: string, b: string): number => a < b ? -1 : a > b ? 1 : 0
