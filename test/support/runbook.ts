/** Runs the commands of docs/operations.md as they stand there, in places of the test's own. */
import { execFile } from 'node:child_process'
import { cp, mkdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { freePort } from '../chaos/ports.ts'
import { program } from './programs.ts'

const ROOT = resolve(import.meta.dirname, '../..')
const SETTINGS = 'Runbooks'
/** A backup of one minute is restored in another one. */
export const NOW = '$(date +%F-%H%M)'

/** What systemd does with the unit in the document. A process that nobody reaps has ended too. */
const SYSTEMCTL = `
systemctl () {
  case $1 in
    stop)
      local pid=$(cat "$RUN/pid"); kill $pid 2> /dev/null || true
      while [ -e /proc/$pid ] && ! grep -q '^State:.*Z' /proc/$pid/status; do sleep 0.1; done ;;
    start)
      env -i PATH="$PATH" HOME="$HOME" bash -c 'set -a; . "$0"; exec node "$1"' "$ETC/env" "$PROGRAM" \\
        >> "$RUN/log" 2>&1 < /dev/null & echo $! > "$RUN/pid" ;;
    restart) systemctl stop; systemctl start ;;
  esac
}
set -eo pipefail
`

/** Where it is, and what a service of it runs. */
export interface Version { folder: string, main: string }

export interface Host extends AsyncDisposable {
  /** Of REST. */
  api: string
  dataDir: string
  mqttsPort: number
  /** Where settings are, and certificates. */
  etc: string
  /** `places`: what the document names, and what stands there here. Throws with what was printed. */
  run (heading: string, places?: Record<string, string>, env?: NodeJS.ProcessEnv): Promise<string>
  systemctl (verb: 'start' | 'stop'): Promise<void>
  /** What fetching and building a version does; this one is there from the beginning. */
  install (version: Version): void
  log (): Promise<string>
}

export async function prepareHost (folder: string, settings: Record<string, string> = {}): Promise<Host> {
  const [etc, run, dataDir] = [join(folder, 'etc'), join(folder, 'run'), join(folder, 'data')]
  const [http, mqtt, ws, grpc, mqtts] =
    [await freePort(), await freePort(), await freePort(), await freePort(), await freePort()]
  await mkdir(etc)
  await mkdir(run)
  await mkdir(join(folder, 'backups'))
  const all = {
    DATA_DIR: dataDir,
    HTTP_PORT: http,
    MQTT_PORT: mqtt,
    WS_PORT: ws,
    GRPC_PORT: grpc,
    STOP_DELAY_MS: 0,
    ...settings
  }
  const lines = Object.entries(all).map(([name, value]) => `${name}='${value}'\n`)
  await writeFile(join(etc, 'env'), lines.join(''))
  let version = thisVersion()
  const here: Record<string, string> = {
    '/etc/echo': etc,
    '/var/backups/echo': join(folder, 'backups'),
    'localhost:8080': `localhost:${http}`,
    'localhost:8883': `localhost:${mqtts}`,
    'MQTTS_PORT=8883': `MQTTS_PORT=${mqtts}`
  }

  async function bash (script: string, env: NodeJS.ProcessEnv = {}): Promise<string> {
    const { PATH, HOME } = process.env
    const running = promisify(execFile)('bash', ['-c', SYSTEMCTL + script], {
      env: { PATH, HOME, ETC: etc, RUN: run, PROGRAM: version.main, ...env }
    })
    const { stdout, stderr } = await running.catch((error: { stdout: string, stderr: string }) => {
      throw new Error(`it failed:\n${error.stdout}${error.stderr}`)
    })
    return stdout + stderr
  }

  const host: Host = {
    api: `http://localhost:${http}/api/v1`,
    dataDir,
    mqttsPort: mqtts,
    etc,
    run: async (heading, places = {}, env) => {
      let script = [SETTINGS, heading].map(name => commandsOf(document, name)).join('')
      const all = { ...here, '/opt/echo': version.folder, ...places, [NOW]: places[NOW] ?? 'now' }
      for (const [there, place] of Object.entries(all)) {
        script = script.replaceAll(there, place)
      }
      return await bash(script, env)
    },
    install (other) { version = other },
    async systemctl (verb) { await bash(`systemctl ${verb}`) },
    log: () => readFile(join(run, 'log'), 'utf8'),
    async [Symbol.asyncDispose] () { await bash('systemctl stop 2> /dev/null || true') }
  }
  const document = await readFile(join(ROOT, 'docs/operations.md'), 'utf8')
  return host
}

/** As `npm run build` has made it. */
export const thisVersion = (): Version => ({ folder: dirname(program('main')), main: program('main') })

/** With one more migration. */
export async function makeNewerVersion (folder: string): Promise<Version> {
  await cp(dirname(program('main')), folder, { recursive: true, verbatimSymlinks: true })
  const journal = join(folder, 'meta/_journal.json')
  const { entries, ...rest } = JSON.parse(await readFile(journal, 'utf8'))
  const newest = { ...entries.at(-1), idx: entries.length, when: entries.at(-1).when + 1, tag: '9999_newer' }
  await writeFile(journal, JSON.stringify({ ...rest, entries: [...entries, newest] }))
  await writeFile(join(folder, '9999_newer.sql'), 'alter table messages add column newer text')
  return { folder, main: join(folder, 'main.js') }
}

/** The blocks of shell below a heading, up to the next one. */
function commandsOf (document: string, heading: string): string {
  const [, section] = new RegExp(`^##+ ${heading}\\n([^]*?)(?=^##+ )`, 'm').exec(`${document}\n## end`) ?? []
  const blocks = [...(section ?? '').matchAll(/^( *)```sh\n([^]*?)^\1```$/gm)]
  if (blocks.length === 0) throw new Error(`docs/operations.md has no commands below ${heading}`)
  return blocks.map(([, indent, block]) => block!.replaceAll(new RegExp(`^${indent}`, 'gm'), '')).join('')
}
