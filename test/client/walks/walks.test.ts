/** Random walks through the client library, a few: `npm run walks` takes as many as one likes. */
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createDatabase, type TestDatabase } from '../../support/database.ts'
import { scratchFolder } from '../../support/echo-process.ts'
import { startGround, type WalkedGround } from './ground.ts'
import { runWalks, type RunOptions } from './run.ts'
import { type Outcome } from './walk.ts'

const WALKS = 64
const AT_ONCE = 16
/** The walks of `npm test` are the same in every run. */
const SEED = 20_261

let folder: Awaited<ReturnType<typeof scratchFolder>>
let database: TestDatabase
let ground: WalkedGround

beforeAll(async () => {
  folder = await scratchFolder()
  database = await createDatabase()
  ground = await startGround(database.url, { dataDir: join(folder.path, 'echo') })
})
afterAll(async () => {
  await ground?.[Symbol.asyncDispose]()
  await database?.[Symbol.asyncDispose]()
  await folder?.[Symbol.asyncDispose]()
})

/** The walk again: `npm run walks -- --count 1 --seed` and its seed. */
const told = ({ seed, differences, trace }: Outcome): string =>
  [`seed ${seed}`, ...differences, ...trace].join('\n')

async function differing (options: Pick<RunOptions, 'count' | 'seed' | 'killServer'>): Promise<string[]> {
  const outcomes: string[] = []
  const run = runWalks(ground, {
    ...options, atOnce: AT_ONCE, differing: outcome => { outcomes.push(told(outcome)) }
  })
  await run.finished
  expect(run.done).toBe(options.count)
  return outcomes
}

test('after random walks with cuts and kills, a device shows what a fresh snapshot shows', {
  timeout: 180_000
}, async () => {
  expect(await differing({ count: WALKS, seed: SEED })).toEqual([])
})

test('a device comes through kills of its server', { timeout: 180_000 }, async () => {
  expect(await differing({ count: AT_ONCE, seed: SEED + WALKS, killServer: true })).toEqual([])
})
