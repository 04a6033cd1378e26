/** A phone comes back to many waiting events. */
import { quantile, rounded } from '../load/latencies.ts'
import { inTurns, World } from '../load/world.ts'
import { residentBytes } from '../process-times.ts'
import { residentWhenCollected } from './idle.ts'
import { type Scenario } from './scenario.ts'

const SENDERS = 16
const IN_FLIGHT = 128
const SAMPLE_MS = 20
const TIMEOUT_MS = 600_000

export const catchUp: Scenario = {
  name: 'catch-up',
  sizes: 'backlogs',
  compared: ['events/s', 'RSS growth MB', 'CPU ms/event'],
  async run ({ server, meter, world: options }, backlog) {
    using world = await World.open(server, { ...options, users: SENDERS, senders: SENDERS, partners: 0 })
    const before = await world.openUser('sleeper')
    for (const sender of world.senders) await world.meet(sender, 'sleeper')
    before.device.close()
    await inTurns(Array(backlog).keys(), IN_FLIGHT, async i => {
      const sender = world.senders[i % SENDERS]!
      await world.send(sender, sender.partners[0]!)
    })

    const rss = await residentWhenCollected(server.pid)
    let highest = rss
    const sampling = setInterval(() => {
      residentBytes(server.pid).then(now => { highest = Math.max(highest, now) }, () => {})
    }, SAMPLE_MS)
    const began = await meter.read()
    const phone = await world.openUser('sleeper')
    await world.settled(TIMEOUT_MS)
    const ended = await meter.read()
    clearInterval(sampling)
    const left = await residentWhenCollected(server.pid)
    phone.device.close()
    const took = (of: 'deviceAt' | 'receiptAt'): number =>
      quantile(world.traces.map(trace => trace[of] - began.at), 1)! / 1_000
    return {
      'events/s': Math.round(backlog / took('deviceAt')),
      'received s': rounded(took('deviceAt')),
      'all receipted s': rounded(took('receiptAt')),
      'CPU ms/event': rounded((ended.serverCpu - began.serverCpu + ended.postgresCpu - began.postgresCpu) /
        backlog * 1_000),
      'RSS growth MB': rounded((highest - rss) / 1e6),
      'RSS left MB': rounded((left - rss) / 1e6),
      ...(world.wrong === 0 ? {} : { 'out of order': world.wrong })
    }
  }
}
