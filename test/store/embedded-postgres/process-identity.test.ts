import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { uptime } from 'node:os'
import { expect, test } from 'vitest'
import { processes, procTable, psTable } from '../../../store/embedded-postgres/process-identity.ts'

const tables = process.platform === 'linux' ? { proc: procTable, ps: psTable } : { ps: psTable }

test.for(Object.entries(
  tables
))('%s tells one process from the next, and a dead one from a living one', async ([, table]) => {
  const child = spawn('sleep', ['60'])
  try {
    const started = await table.startTimeOf(child.pid!)
    expect(started).toMatch(/\d/)
    expect(await table.startTimeOf(child.pid!)).toBe(started)
    expect(await table.startTimeOf(1)).not.toBe(started)
    expect((await table.commandOf(child.pid!))?.line).toBe('sleep 60')
  } finally {
    child.kill('SIGKILL')
    await once(child, 'exit')
  }
  expect(await table.startTimeOf(child.pid!)).toBeUndefined()
  expect(await table.commandOf(child.pid!)).toBeUndefined()
})

test.skipIf(process.platform !== 'linux')('the start time in /proc is counted from the boot', async () => {
  const before = uptime()
  const child = spawn('sleep', ['60'])
  try {
    const [boot, ticks] = (await procTable.startTimeOf(child.pid!))!.split(' ')
    expect(boot).toMatch(/^[0-9a-f-]{36}$/)
    expect(Number(ticks) / 100).toBeGreaterThan(before - 1)
    expect(Number(ticks) / 100).toBeLessThan(uptime() + 1)
  } finally {
    child.kill('SIGKILL')
    await once(child, 'exit')
  }
})

test.skipIf(
  process.platform !== 'linux'
)('a process that has ended but was not collected counts as ended', async () => {
  // It ends only when its parent has become a program that collects no children, as a shell might.
  const parent =
    spawn('sh', ['-c', '(until grep -qx sleep /proc/$$/comm; do :; done) & echo $!; exec sleep 60'])
  try {
    const [line] = await once(parent.stdout, 'data') as [Buffer]
    const zombie = Number(line.toString())
    await expect.poll(async () => await processes.startTimeOf(zombie), { timeout: 60_000 }).toBeUndefined()
    expect(() => process.kill(zombie, 0)).not.toThrow()
  } finally {
    parent.kill('SIGKILL')
    await once(parent, 'exit')
  }
})
