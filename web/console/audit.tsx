/** Which admin did what to which user. */
import { useEffect, useState } from 'preact/hooks'
import { askAdmin } from './admin-api.ts'

interface Entry {
  id: string
  actor_user_id: string
  action: string
  subject_user_id: string | null
  details: Record<string, unknown> | null
  created_at: string
}
interface Page { entries: Entry[], has_more: boolean }

export function Audit () {
  const [userId, setUserId] = useState('')
  const [page, setPage] = useState<Page>()
  const [error, setError] = useState<string>()

  async function load (older?: Page): Promise<void> {
    const last = older?.entries.at(-1)
    const query = new URLSearchParams({
      ...userId !== '' && { user_id: userId }, ...last && { before_id: last.id }
    })
    try {
      const next = await askAdmin<Page>(`/audit-log?${query}`)
      setPage({ ...next, entries: [...older?.entries ?? [], ...next.entries] })
      setError(undefined)
    } catch (error) {
      setError((error as Error).message)
    }
  }
  useEffect(() => { load().catch(console.error) }, [userId])

  return (
    <>
      <h2>Audit log</h2>
      <form
        class='row'
        onSubmit={event => {
          event.preventDefault()
          setUserId((new FormData(event.currentTarget).get('user') as string).trim())
        }}
      >
        <label for='audit-user'>Done to user</label>
        <input id='audit-user' name='user' placeholder='anyone' autocomplete='off' />
        <button type='submit'>Show</button>
        <button type='button' onClick={() => load()}>Read again</button>
      </form>
      {error !== undefined && <p class='trouble' role='alert'>{error}</p>}
      {page?.entries.length === 0 && <p class='empty'>No administrator has done anything yet.</p>}
      {page !== undefined && page.entries.length > 0 && (
        <div class='scroll' tabindex={0} role='region' aria-label='Audit log'>
          <table>
            <thead><tr><th>Time</th><th>Admin</th><th>Did</th><th>To</th><th>Details</th></tr></thead>
            <tbody>
              {page.entries.map(({ id, actor_user_id, action, subject_user_id, details, created_at }) => (
                <tr key={id}>
                  <td><time>{new Date(created_at).toLocaleString('en-GB')}</time></td>
                  <td>{actor_user_id}</td>
                  <td>{action.replaceAll('_', ' ')}</td>
                  <td>{subject_user_id ?? '–'}</td>
                  <td>{details !== null && <code>{JSON.stringify(details)}</code>}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      {page?.has_more === true && <button type='button' onClick={() => load(page)}>Older</button>}
    </>
  )
}
