/** Who is connected, how far behind each device is, and how full its window. */
import { askAdmin } from './admin-api.ts'
import { confirmed } from './confirm.tsx'
import { announce } from './announcer.tsx'
import { usePolled } from './polled.ts'
import { ago } from './times.ts'

interface Session {
  user_id: string
  device_id: string
  node: string
  door: string
  delivery: 'tracked' | 'live' | 'none'
  clean_session: boolean
  connected_at: string
  last_active_at: string
  unacknowledged: number
  lag: number
}
interface Answer { sessions: Session[], nodes: { silent: string[], complete: boolean } }

const EVERY_MS = 2_000
/** As many events may be unacknowledged. */
const WINDOW = 64

export function Sessions () {
  const { value, error, refresh } = usePolled(() => askAdmin<Answer>('/sessions?limit=200'), EVERY_MS)
  return (
    <>
      <h2>Live sessions</h2>
      <p class='note'>Up to 200, those furthest behind first.</p>
      {error !== undefined && <p class='trouble'>{error}</p>}
      {value?.nodes.complete === false &&
        <p class='trouble'>Not every node has answered: what it holds is missing here.</p>}
      {value?.sessions.length === 0 && <p class='empty'>Nobody is connected.</p>}
      {value !== undefined && value.sessions.length > 0 && (
        <div class='scroll' tabindex={0} role='region' aria-label='Live sessions'>
          <table>
            <thead>
              <tr>
                <th>User</th><th>Device</th><th>Door</th><th class='number'>Lag</th><th>Window</th>
                <th>Connected</th><th>Active</th><th><span class='unseen'>Actions</span></th>
              </tr>
            </thead>
            <tbody>
              {value.sessions.map(session => (
                <Row
                  key={`${session.node} ${session.user_id} ${session.device_id}`} {...session} done={refresh}
                />
              ))}
            </tbody>
          </table>
        </div>
      )}
    </>
  )
}

function Row ({ done, ...session }: Session & { done: () => void }) {
  const { user_id, device_id, door, delivery, lag, unacknowledged, connected_at, last_active_at } = session
  const tracked = delivery === 'tracked'
  return (
    <tr>
      <td><a href={`#events/${encodeURIComponent(user_id)}`}>{user_id}</a></td>
      <td>{device_id}</td>
      <td>{door}{!tracked && <span class='tag'>{delivery === 'live' ? 'copy' : 'no inbox'}</span>}</td>
      <td class='number'>{tracked ? lag.toLocaleString('en') : '–'}</td>
      <td>
        {tracked && (
          <span class='row'>
            <meter
              min={0} max={WINDOW} high={WINDOW * 3 / 4} optimum={0} value={unacknowledged}
              aria-label={`${unacknowledged} of ${WINDOW} events unacknowledged`}
            />
            <small>{unacknowledged} of {WINDOW}</small>
          </span>
        )}
      </td>
      <td>{ago(connected_at)}</td>
      <td>{ago(last_active_at)} ago</td>
      <td class='actions'>
        <button type='button' onClick={() => disconnect(session).then(done)}>
          Disconnect<span class='unseen'> {device_id} of {user_id}</span>
        </button>
        <button type='button' class='danger' onClick={() => revoke(session).then(done)}>
          Revoke<span class='unseen'> the tokens of {user_id}</span>
        </button>
      </td>
    </tr>
  )
}

async function disconnect ({ user_id, device_id }: Session): Promise<void> {
  const text = 'It may connect again at once; its place in the log stays.'
  if (!await confirmed(`Disconnect ${device_id} of ${user_id}?`, text, 'Disconnect')) return
  const path = `/users/${encodeURIComponent(user_id)}/disconnect`
  await told(askAdmin<{ ended: number }>(path, 'POST', { device_id })
    .then(({ ended }) => `${ended} ended: ${device_id} of ${user_id}.`))
}

async function revoke ({ user_id }: Session): Promise<void> {
  const text = 'All tokens that the user has are refused from now on, and all their connections end.'
  if (!await confirmed(`Revoke the tokens of ${user_id}?`, text, 'Revoke')) return
  await told(askAdmin(`/users/${encodeURIComponent(user_id)}/revoke`, 'POST')
    .then(() => `The tokens of ${user_id} are revoked.`))
}

const told = async (outcome: Promise<string>): Promise<void> =>
  announce(await outcome.catch((error: Error) => error.message))
