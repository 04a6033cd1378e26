/**
 * The commands in documents, as somebody types them who reads from the beginning to the end: Echo starts as
 * the document starts it. Only its ports and files are others, because those of the document may be taken.
 */
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { freePort } from '../chaos/ports.ts'
import { scratchFolder } from '../support/echo-process.ts'
import { until } from '../support/until.ts'
import { blocksOf, isShown } from './blocks.ts'
import { Terminals } from './terminals.ts'

const PORTS = { HTTP_PORT: '8080', MQTT_PORT: '1883', WS_PORT: '8083', GRPC_PORT: '50051' }
const FAKE_FCM_PORT = '9099'
/** A first start makes a database. */
const WITHIN_MS = 60_000
const LOG = '/tmp/echo.log'
const CLIENTS = '/tmp/echo-clients'

test.for([['README.md'], ['docs/debugging.md'], ['docs/clients.md']] as const)('what %s says to type does what it says', {
  timeout: 300_000
}, async ([document]) => {
  await using folder = await scratchFolder()
  const { env, here } = await elsewhere(folder.path)
  await using terminals = new Terminals(env)
  let printed = ''
  for (const block of blocksOf(await readFile(document, 'utf8'))) {
    const { kind, line, text } = block
    const place = `${document}:${line}`
    if (kind === 'file') {
      await writeFile(here(block.path), here(text))
      continue
    }
    const { terminal } = block
    if (kind === 'command') {
      const typed = terminal === undefined ? terminals.type(here(text)) : terminals.run(terminal, here(text))
      printed = await typed.catch(error => { throw new Error(place, { cause: error }) }) ?? ''
    } else if (terminal === undefined) {
      if (!isShown(here(text), printed)) expect(printed, place).toBe(text)
    } else {
      await until(() => isShown(here(text), terminals.news(terminal)), place, WITHIN_MS)
        .catch(() => expect(terminals.news(terminal), place).toBe(text))
      terminals.show(terminal)
    }
  }
})

/** An environment with ports and files of its own, and how what a document says is said there. */
async function elsewhere (folder: string) {
  const ports = new Map<string, string>()
  for (const port of [...Object.values(PORTS), FAKE_FCM_PORT]) ports.set(port, String(await freePort()))
  const settings = join(folder, 'settings')
  await mkdir(settings)
  const broker = `-p ${ports.get(PORTS.MQTT_PORT)}\n`
  await writeFile(join(settings, 'mosquitto_pub'), broker)
  await writeFile(join(settings, 'mosquitto_sub'), `${broker}-d\n`)
  const { JWT_SECRET, DATABASE_URL, REDIS_URL, ...rest } = process.env
  return {
    env: {
      ...rest,
      ...Object.fromEntries(Object.entries(PORTS).map(([name, port]) => [name, ports.get(port)])),
      DATA_DIR: join(folder, 'data'),
      XDG_CONFIG_HOME: settings
    },
    here: (text: string): string => text
      .replaceAll(new RegExp(`\\b(${[...ports.keys()].join('|')})\\b`, 'g'), port => ports.get(port)!)
      .replaceAll(LOG, join(folder, 'echo.log'))
      .replaceAll(CLIENTS, join(folder, 'clients'))
  }
}
