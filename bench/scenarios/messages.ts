/** Direct messages among users who are online: as many as go through, and at given rates. */
import { quantile, rounded } from '../load/latencies.ts'
import { World } from '../load/world.ts'
import { type Reading } from '../meter.ts'
import { type Bench, type Row, type Scenario } from './scenario.ts'

type Load = (world: World, until: number) => Promise<void>

/** Each sender keeps this many messages under way, each until its 201: as much as goes through. */
export function closedLoop (outstanding: number): Scenario {
  return {
    name: `closed-${outstanding}`,
    compared: ['messages/s', 'device p50 ms', 'CPU s/1,000', 'server s', 'WAL B/msg'],
    run: async bench => await inNewWorld(bench, asMuchAsPossible(outstanding))
  }
}

/** Poisson arrivals: a message goes out when it is due, whatever became of those before. */
export function atRate (perSecond: number): Scenario {
  return {
    name: `rate-${perSecond}`,
    compared: ['device p50 ms', 'device p99 ms', 'CPU s/1,000', 'server s', 'WAL B/msg'],
    run: async bench => await inNewWorld(bench, poisson(perSecond))
  }
}

async function inNewWorld (bench: Bench, load: Load): Promise<Row> {
  using world = await World.open(bench.server, bench.world)
  return await measure(bench, world, load)
}

export const asMuchAsPossible = (outstanding: number): Load => async (world, until) => {
  await Promise.all(world.senders.flatMap(sender => Array.from({ length: outstanding }, async () => {
    while (performance.now() < until) await world.send(sender, oneOf(sender.partners))
  })))
}

/** Until a time of `performance.now()`, or until it is aborted. */
export const poisson = (perSecond: number) => async (
  world: World, until: number | AbortSignal
): Promise<void> => {
  const sending: Array<Promise<void>> = []
  for (let due = performance.now(); typeof until === 'number' ? due < until : !until.aborted;) {
    const ahead = due - performance.now()
    // Timers count whole milliseconds, and the mean of being early or late by half of one is nought.
    if (ahead > 0.5) {
      await new Promise(resolve => setTimeout(resolve, Math.round(ahead)))
      continue
    }
    const sender = oneOf(world.senders)
    sending.push(world.send(sender, oneOf(sender.partners)))
    due += -Math.log(1 - Math.random()) * 1_000 / perSecond
  }
  await Promise.all(sending)
}

/** The clock runs in the midst of the load: what came before is warm-up, what comes after is not counted. */
export async function measure (bench: Bench, world: World, load: Load): Promise<Row> {
  const { meter, seconds, warmUpSeconds } = bench
  const began = performance.now()
  const loaded = load(world, began + (warmUpSeconds + seconds) * 1_000)
  loaded.catch(() => {}) // awaited below
  await sleepUntil(began + warmUpSeconds * 1_000)
  const [before, receiptedBefore] = [await meter.read(), world.receipted]
  await sleepUntil(began + (warmUpSeconds + seconds) * 1_000 - 20)
  const [after, receipted] = [await meter.read(), world.receipted - receiptedBefore]
  await loaded
  await world.settled()
  return {
    'messages/s': Math.round(receipted / (after.at - before.at) * 1_000),
    ...latencies(world, before.at, after.at),
    ...costs(before, after, receipted),
    ...(world.wrong === 0 ? {} : { 'out of order': world.wrong })
  }
}

/** Of the messages sent in between. */
export function latencies (world: World, from: number, to: number): Row {
  const counted = world.traces.filter(trace => trace.sentAt >= from && trace.sentAt < to)
  const answered = counted.map(trace => trace.answeredAt - trace.sentAt)
  const atDevice = counted.map(trace => trace.deviceAt - trace.sentAt)
  const receipts = counted.map(trace => trace.receiptAt - trace.sentAt)
  return {
    '201 p50 ms': quantile(answered, 0.5),
    '201 p99 ms': quantile(answered, 0.99),
    'device p50 ms': quantile(atDevice, 0.5),
    'device p99 ms': quantile(atDevice, 0.99),
    'receipt p50 ms': quantile(receipts, 0.5),
    'receipt p99 ms': quantile(receipts, 0.99)
  }
}

function costs (before: Reading, after: Reading, messages: number): Row {
  const each = (of: keyof Reading): number => (after[of] - before[of]) / messages
  return {
    'CPU s/1,000': rounded((each('serverCpu') + each('postgresCpu')) * 1_000),
    'server s': rounded(each('serverCpu') * 1_000),
    'PostgreSQL s': rounded(each('postgresCpu') * 1_000),
    'generator s': rounded(each('generatorCpu') * 1_000),
    'WAL B/msg': Math.round(each('walBytes')),
    'syncs/msg': rounded(each('walSyncs')),
    'commits/msg': rounded(each('commits'))
  }
}

function oneOf<T> (items: T[]): T {
  return items[Math.floor(Math.random() * items.length)]!
}

async function sleepUntil (at: number): Promise<void> {
  await new Promise(resolve => setTimeout(resolve, at - performance.now()))
}
