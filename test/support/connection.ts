/** A connection that is only said to be there. */
import { type Connection, type ConnectionState } from '../../messaging/deliver/connections.ts'

export function saidToBeThere (
  userId: string, { issuedAt = 0, ...state }: Partial<ConnectionState> & { issuedAt?: number } = {}
): Connection {
  const said: ConnectionState = {
    door: 'mqtt',
    device_id: 'phone',
    delivery: 'tracked',
    clean_session: false,
    address: '203.0.113.7',
    connected_at: 1_000,
    last_active_at: 2_000,
    unacknowledged: 0,
    lag: 0,
    token_expires_at: 3_000,
    ...state
  }
  return {
    userId,
    deviceId: said.device_id,
    identity: { issuedAt, expiresAt: said.token_expires_at / 1_000 },
    disconnect () {},
    state: () => said
  }
}
