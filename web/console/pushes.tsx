/** The last pushes and what became of them. */
import { askAdmin } from './admin-api.ts'
import { usePolled } from './polled.ts'
import { clock } from './times.ts'

interface Push {
  node: string
  at: string
  user_id: string
  device_id: string
  platform: string
  kind: 'message' | 'read'
  message_id: string | null
  outcome: string
  reason: string | null
}

const OUTCOMES: Record<string, string> = {
  ok: 'taken',
  retry: 'tried again later',
  token_gone: 'token leads nowhere',
  token_foreign: 'token of another project',
  rejected: 'rejected',
  blocked: 'push service takes nothing'
}

export function Pushes () {
  const { value, error } = usePolled(() => askAdmin<{ pushes: Push[] }>('/pushes?limit=200'), 3_000)
  return (
    <>
      <h2>Push log</h2>
      <p class='note'>The last 200 of each push bridge since it started. Texts and tokens are left out.</p>
      {error !== undefined && <p class='trouble'>{error}</p>}
      {value?.pushes.length === 0 &&
        <p class='empty'>No push yet. They go to registered devices of users who do not acknowledge.</p>}
      {value !== undefined && value.pushes.length > 0 && (
        <div class='scroll' tabindex={0} role='region' aria-label='Push log'>
          <table>
            <thead>
              <tr><th>Time</th><th>User</th><th>Device</th><th>Platform</th><th>For</th><th>Outcome</th></tr>
            </thead>
            <tbody>
              {value.pushes.map(push => (
                <tr key={`${push.at} ${push.user_id} ${push.device_id} ${push.message_id}`}>
                  <td><time>{clock(push.at)}</time></td>
                  <td>{push.user_id}</td>
                  <td>{push.device_id}</td>
                  <td>{push.platform}</td>
                  <td>{push.kind === 'message' ? 'a message' : 'read elsewhere'}</td>
                  <td class={push.outcome === 'ok' ? 'fine' : 'trouble'}>
                    {OUTCOMES[push.outcome] ?? push.outcome}{push.reason !== null && ` (${push.reason})`}
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </>
  )
}
