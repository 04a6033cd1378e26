/**
 * One walk: a few people who write to each other, one of them on a device with the client library
 * whose network is cut and whose process is killed. At its end, when everything is well again, the
 * device must show what a fresh snapshot shows, and everything that the user did must have happened once.
 */
import { and, eq, lte } from 'drizzle-orm'
import { EchoError } from '../../../client/index.ts'
import { devices, inbox_events } from '../../../migrations/schema.ts'
import { type Action } from '../../model/actions.ts'
import { createWorld, readUntold, takeSnapshot, type Ground } from '../../model/world.ts'
import { inboxCounters } from '../../../store/people/users.ts'
import { until } from '../../support/until.ts'
import { type Network } from '../network.ts'
import { differenceOf, modelOf } from './compare.ts'
import { startDevice, type Device } from './device.ts'
import { createIntents } from './intents.ts'
import { planOf, type AwayStep, type Step } from './steps.ts'

/** For a device on a whole network, on a machine that is busy with other walks. */
const WITHIN_MS = 60_000
/** A step that takes longer hangs; while Echo is killed again and again, one may ask for long. */
const STEP_MS = 90_000

export interface Outcome {
  seed: number
  /** None when all is as it must be. */
  differences: string[]
  /** The steps, and what came of them. */
  trace: string[]
  /** Types of the events that the device was told of. */
  eventTypes: Set<string>
}

export async function walk (ground: Ground, network: Network, seed: number): Promise<Outcome> {
  const { beginning, steps } = planOf(seed)
  const { orm } = ground.database
  const outcome: Outcome = { seed, differences: [], trace: [], eventTypes: new Set() }
  const say = (what: string): void => { outcome.trace.push(what) }
  const world = await createWorld(ground)
  for (const action of beginning) await others(action)
  const user = world.users[0]!
  const intents = createIntents(user.id, error => outcome.differences.push(`a write failed: ${error}`))
  network.heal()
  let lastHeard = 0
  let isBelieved = false
  const device = await startDevice({
    user,
    network,
    intents,
    other: i => world.users[1 + i % (world.users.length - 1)]!.id,
    heard (event) {
      outcome.eventTypes.add(event.type)
      if (event.seq <= lastHeard) outcome.differences.push(`event ${event.seq} was told after ${lastHeard}`)
      lastHeard = event.seq
      if (event.type === 'message_sent') world.note(user, event.message)
    },
    fault: error => outcome.differences.push(`it failed: ${(error as Error).stack}`),
    lastSeq: logEnd
  })
  try {
    for (const step of steps) say(`${JSON.stringify(step)} → ${await within(STEP_MS, perform(step))}`)
    say('all is well again')
    await tell()
    await arrive()
    outcome.differences.push(...await judge())
  } catch (error) {
    outcome.differences.push((error as Error).stack!)
  }
  await within(STEP_MS, device.close()).catch(error => outcome.differences.push(`close: ${error}`))
  return outcome

  async function logEnd (): Promise<number> {
    const [counters] = await inboxCounters(ground.database, [user.id])
    return counters!.inbox_seq
  }

  async function perform (step: Step): Promise<string> {
    switch (step.do) {
      case 'others': return await others(step.action)
      case 'away': return await away(step)
      case 'scrollUpMeanwhile': {
        await device.perform({ do: 'lag', door: 'rest', ms: step.ms })
        const scrolled = await device.perform({ do: 'scrollUp', where: step.where })
        const answers: string[] = []
        for (const change of step.changes) answers.push(await others(change))
        await device.perform({ do: 'lag', door: 'rest', ms: 0 })
        return `${scrolled}, ${answers.join(', ')}`
      }
      default: return String(await device.perform(step) ?? '')
    }
  }

  async function others (action: Action): Promise<string> {
    // An upload is not asked for again.
    const answer = await world.perform(action).catch(error => {
      if (error instanceof TypeError) return undefined
      throw error
    })
    return answer === undefined ? '' : `${answer.status} ${answer.body?.code ?? answer.body?.id ?? ''}`
  }

  async function away ({ actions, server, kept }: AwayStep): Promise<string> {
    network.end()
    const answers: string[] = []
    for (const action of actions) answers.push(await others(action))
    const end = await logEnd()
    if (server === 'expires') {
      await orm.delete(inbox_events)
        .where(and(eq(inbox_events.user_id, user.id), lte(inbox_events.seq, end - kept)))
    } else if (server === 'forgets') {
      await user.post('/inbox/ack', { seq: end }, { 'x-device-id': 'tablet' })
      await orm.delete(devices).where(eq(devices.user_id, user.id))
    } else {
      await user.post('/inbox/ack', { seq: end }, { 'x-device-id': device.deviceId })
      isBelieved = true
    }
    network.heal()
    return `${answers.join(', ')}; the log ends at ${end}`
  }

  /** A device to which nothing is sent any more learns with the next event what it lacks. */
  async function tell (): Promise<void> {
    if (isBelieved) await user.put('/users/me', { name: 'the last one' })
    isBelieved = false
  }

  /** Everything that waits has gone out, and everything that came is shown. */
  async function arrive (): Promise<void> {
    await device.recover()
    // What is not in the outbox yet would be missed there.
    await within(STEP_MS, intents.settled(device.client))
    let last = ''
    await until(async () => {
      const end = await logEnd()
      last = stateOf(device, end)
      return last === ''
    }, 'the device has caught up', WITHIN_MS).catch(error => { throw new Error(last, { cause: error }) })
  }

  async function judge (): Promise<string[]> {
    const { client } = device
    const differences = await intents.broken(ground.database, client.model.outbox())
    for (const { id } of client.model.outbox()) await client.discard(id)
    const found = await difference('at the end')
    if (found !== undefined) return [...differences, found]
    for (const { id } of client.model.conversations()) await loadAll(id)
    const withAll = await difference('with the whole of each history')
    if (withAll !== undefined) differences.push(withAll)
    return differences
  }

  /** Echo may be killed meanwhile. */
  async function loadAll (id: string): Promise<void> {
    await until(async () => !await device.client.loadOlder(id).catch(error => {
      if (error instanceof EchoError && error.transient) return true
      throw error
    }), `the whole history of ${id}`, WITHIN_MS)
  }

  /** What the device shows and what there is are looked at when nothing happens in between. */
  async function difference (when: string): Promise<string | undefined> {
    for (;;) {
      const place = device.place()?.seq
      const snapshot = await takeSnapshot(user)
      const untold = await readUntold(ground.database, snapshot.conversations.map(({ id }) => id))
      const found = differenceOf(user.id, modelOf(device.client), snapshot, untold)
      if (found === undefined) return undefined
      if (place === snapshot.lastSeq && await logEnd() === place && device.place()?.seq === place) {
        return `${when}: ${found}`
      }
      await arrive()
    }
  }
}

/** What is missing; empty when all has come and gone out. */
function stateOf (device: Device, end: number): string {
  const { model } = device.client
  const place = device.place()
  const waiting = model.outbox().filter(({ state }) => state !== 'failed')
  return [
    model.connection.phase === 'online' ? '' : `it is ${JSON.stringify(model.connection)}`,
    place?.seq === end ? '' : `it is at event ${place?.seq} of ${end}`,
    waiting.length === 0 ? '' : `it still has to send ${JSON.stringify(waiting)}`,
    device.isCounting() ? 'it still counts' : ''
  ].filter(Boolean).join('; ')
}

async function within<T> (ms: number, work: Promise<T>): Promise<T> {
  let timer: ReturnType<typeof setTimeout>
  const late = new Promise<never>((resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`it takes longer than ${ms} ms`)), ms)
  })
  return await Promise.race([work, late]).finally(() => clearTimeout(timer))
}
