/**
 * PUBACK: a device has received what it was sent with QoS 1.
 *
 * Aedes tells its persistence the packet's identifier, and its range says what the
 * packet was (inbox/packets.ts). The PUBACK of an inbox event moves the pump, and the
 * pump notes the acknowledgement for the device's cursor. Replies are not tracked. The
 * rest belongs to topics granted by `acl` and stays in the persistence.
 */
import { type DeviceConnection } from '../inbox/device-connection.ts'
import { isInboxId, isOwnId, seqOfInboxId } from '../inbox/packets.ts'

/** False: the packet was none of the user's own topics. */
export function acknowledge (connection: DeviceConnection | undefined, packetId: number): boolean {
  if (!isOwnId(packetId)) return false
  connection?.touch()
  const delivery = connection?.ownTopics.delivery
  if (delivery === undefined || !isInboxId(packetId)) return true
  delivery.acknowledged(seqOfInboxId(packetId, delivery.pump.ackedSeq))
  return true
}
