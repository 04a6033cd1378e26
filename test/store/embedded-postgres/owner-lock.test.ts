import { spawnSync } from 'node:child_process'
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { type OwnerLock, successorOf, acquireOwnerLock } from '../../../store/embedded-postgres/owner-lock.ts'
import { processes } from '../../../store/embedded-postgres/process-identity.ts'
import { isRunning, scratchFolder } from './scratch.ts'

const deadPid = (): number => spawnSync('true').pid

async function race (folder: string): Promise<{ winners: OwnerLock[], errors: string[] }> {
  const outcomes = await Promise.allSettled(Array.from(
    { length: 12 }, async (): Promise<OwnerLock> => await acquireOwnerLock(folder)
  ))
  return {
    winners: outcomes.flatMap(outcome => outcome.status === 'fulfilled' ? [outcome.value] : []),
    errors: outcomes.flatMap(outcome =>
      outcome.status === 'rejected' ? [(outcome.reason as Error).message] : [])
  }
}

test('a folder owned by a living process is refused, with its name, the pid and DATA_DIR', async () => {
  await using scratch = await scratchFolder()
  await acquireOwnerLock(scratch.path)
  const refusal = acquireOwnerLock(scratch.path)
  await expect(refusal).rejects.toThrow(scratch.path)
  await expect(refusal).rejects.toThrow(`process ${process.pid}`)
  await expect(refusal).rejects.toThrow('DATA_DIR')
})

test('a released lock leaves nothing and can be taken again', async () => {
  await using scratch = await scratchFolder()
  const lock = await acquireOwnerLock(scratch.path)
  await lock.release()
  expect(await readdir(scratch.path)).toEqual([])
  await acquireOwnerLock(scratch.path)
})

test.for([
  ['of a dead process', (): string => JSON.stringify({ pid: deadPid(), started: 'once' })],
  ['of a process whose pid a later one has got', (): string =>
    JSON.stringify({ pid: process.ppid, started: 'earlier' })],
  ['cut short by a power failure', (): string => '']
] as const)('a lock %s is taken over', async ([, content]) => {
  await using scratch = await scratchFolder()
  await writeFile(join(scratch.path, 'owner.lock'), content())
  await acquireOwnerLock(scratch.path)
  expect(JSON.parse(await readFile(join(scratch.path, 'owner.lock'), 'utf8'))).toMatchObject({
    pid: process.pid
  })
  expect(await readdir(scratch.path)).toEqual(['owner.lock'])
})

test('of many starters at the same moment exactly one gets the folder, be it free or a dead owner\'s', async () => {
  await using scratch = await scratchFolder()
  const pid = deadPid()
  expect(await isRunning(pid)).toBe(false)
  for (let round = 0; round < 40; round++) {
    if (round % 2) {
      await writeFile(join(scratch.path, 'owner.lock'), JSON.stringify({ pid, started: `round ${round}` }))
    }
    const { winners, errors } = await race(scratch.path)
    expect(winners).toHaveLength(1)
    expect(errors.every(error => error.includes('DATA_DIR'))).toBe(true)
    await winners[0]!.release()
    expect(await readdir(scratch.path)).toEqual([])
  }
})

test('starters killed while they took a dead owner\'s lock over do not block the next', async () => {
  await using scratch = await scratchFolder()
  const dead = (started: string) => JSON.stringify({ pid: deadPid(), started })
  const [owner, taker, takerOfTaker] = [dead('owner'), dead('taker'), dead('taker of taker')]
  await writeFile(join(scratch.path, 'owner.lock'), owner)
  await writeFile(successorOf(scratch.path, owner), taker)
  await writeFile(successorOf(scratch.path, taker), takerOfTaker)
  const { winners } = await race(scratch.path)
  expect(winners).toHaveLength(1)
  expect(await readdir(scratch.path)).toEqual(['owner.lock'])
})

test('while a living starter takes a dead owner\'s lock over, others are refused', async () => {
  await using scratch = await scratchFolder()
  const owner = JSON.stringify({ pid: deadPid(), started: 'once' })
  await writeFile(join(scratch.path, 'owner.lock'), owner)
  const taker = JSON.stringify({ pid: process.ppid, started: await processes.startTimeOf(process.ppid) })
  await writeFile(successorOf(scratch.path, owner), taker)
  await expect(acquireOwnerLock(scratch.path)).rejects.toThrow(`process ${process.ppid}`)
  expect(await readFile(join(scratch.path, 'owner.lock'), 'utf8')).toBe(owner)
})
