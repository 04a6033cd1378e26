/** Is everything there, how much is stored, and how fast does it go? */
import { type ComponentChildren } from 'preact'
import { askAdmin, askReadiness } from './admin-api.ts'
import { Chart } from './chart.tsx'
import { POINTS, useMeasured } from './measured.ts'
import { usePolled } from './polled.ts'

interface Count { count: number, exact: boolean }
interface Statistics {
  users: Count
  conversations: Count
  messages: Count
  push: { due: Count, oldest_due_seconds: number | null }
  database_bytes: number
  online: { users: number, connections: number, tracked_sessions: number, nodes: Array<{ node: string }> }
  nodes: { silent: string[], complete: boolean }
}

const EVERY_MS = 5_000
const NAMES: Record<string, string> = {
  database: 'PostgreSQL', redis: 'Redis', push: 'Push service', files: 'Attachments', echo: 'Echo'
}

export function Overview () {
  const readiness = usePolled(askReadiness, EVERY_MS)
  const statistics = usePolled(() => askAdmin<Statistics>('/statistics'), EVERY_MS)
  const { charts, error } = useMeasured()
  return (
    <>
      <h2>Dependencies</h2>
      <ul class='cards' aria-live='polite'>
        {readiness.error !== undefined && <Dependency name='Echo' ok={false} detail={readiness.error} />}
        {Object.entries(readiness.value?.dependencies ?? {}).map(([name, { ok, detail }]) =>
          <Dependency key={name} name={NAMES[name] ?? name} ok={ok} detail={detail} />)}
      </ul>

      <h2>Stored and connected</h2>
      {statistics.error !== undefined && <p class='trouble'>{statistics.error}</p>}
      {statistics.value !== undefined && <Figures {...statistics.value} />}

      <h2>Rates and times</h2>
      {error !== undefined && <p class='trouble'>{error}</p>}
      <div class='charts'>
        {charts.map(chart => <Chart key={chart.title} {...chart} points={POINTS} />)}
      </div>
      <p class='note'>Measured by the process that answers this page, every 2 seconds.</p>
    </>
  )
}

function Dependency ({ name, ok, detail }: { name: string, ok: boolean, detail?: string }) {
  return (
    <li class={ok ? 'card good' : 'card bad'}>
      <span class='dot' aria-hidden='true' />
      <span><b>{name}</b><br />{ok ? detail ?? 'works' : detail ?? 'is away'}</span>
    </li>
  )
}

function Figures ({ users, conversations, messages, push, database_bytes, online, nodes }: Statistics) {
  return (
    <dl class='figures'>
      <Figure name='users online'>{online.users.toLocaleString('en')}</Figure>
      <Figure name='connections'>{online.connections.toLocaleString('en')}</Figure>
      <Figure name='nodes'>
        {online.nodes.length}{nodes.silent.length > 0 && ` of ${online.nodes.length + nodes.silent.length}`}
      </Figure>
      <Figure name='users'>{shown(users)}</Figure>
      <Figure name='conversations'>{shown(conversations)}</Figure>
      <Figure name='messages'>{shown(messages)}</Figure>
      <Figure name={oldest(push.oldest_due_seconds)}>{shown(push.due)}</Figure>
      <Figure name='database'>{Math.round(database_bytes / 1_000_000).toLocaleString('en')} MB</Figure>
    </dl>
  )
}

const Figure = ({ name, children }: { name: string, children: ComponentChildren }) =>
  <div><dt>{name}</dt><dd>{children}</dd></div>

const shown = ({ count, exact }: Count): string => `${exact ? '' : '≈ '}${count.toLocaleString('en')}`
const oldest = (seconds: number | null): string =>
  seconds === null ? 'pushes due' : `pushes due, the oldest for ${Math.round(seconds)} s`
