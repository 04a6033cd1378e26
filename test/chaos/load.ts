/** Everything that clients do while faults strike. */
import { type FakeFcm } from '../../tools/fake-fcm/server.ts'
import { registerAbsent, settlePushes } from './absent.ts'
import { type Node } from './cluster.ts'
import { gatherCrowd } from './crowd.ts'
import { startEditors } from './editors.ts'
import { settleErasures, startErasures } from './erasures.ts'
import { openLanes } from './lanes.ts'
import { type Ledger } from './ledger.ts'
import { type Population } from './population.ts'
import { type Random } from './random.ts'
import { startReaders } from './readers.ts'
import { type Rest } from './rest.ts'
import { startSenders } from './senders.ts'

export interface Settled {
  /** Undefined: never. */
  pushedMs: number | undefined
  /** Users whose erasure is not finished. */
  unerased: Set<string>
}

export interface Load {
  /** Who takes part beyond the population. */
  userIds: string[]
  /** Resolves when everything that was begun is decided. */
  stop (): Promise<void>
  /** What goes on in the background comes to its end, in a bounded time. */
  settle (): Promise<Settled>
}

export async function startLoad ({ population, apis, rest, ledger, random, ratePerSecond, fcm }: {
  population: Population,
  apis: Node[],
  rest: Rest,
  ledger: Ledger,
  random: Random,
  ratePerSecond: number,
  fcm: FakeFcm
}): Promise<Load> {
  const part = (name: string) => ({ population, rest, ledger, random: random.stream(name) })
  const crowd = await gatherCrowd(part('crowd'))
  const absent = await registerAbsent(part('absent'))
  const readers = startReaders({ devices: population.devices, ...part('readers') })
  const editors = startEditors(part('editors'))
  const erasures = startErasures(part('erasures'))
  const senders = startSenders({
    lanes: openLanes({ apis, crowd, absent, ratePerSecond, ...part('lanes') }),
    ...part('senders'),
    onAccepted (send) {
      readers.sent(send)
      editors.sent(send)
    }
  })
  return {
    userIds: [...crowd.userIds, ...absent.userIds],
    async stop () {
      await Promise.all([senders.stop(), readers.stop(), editors.stop(), erasures.stop()])
    },
    async settle () {
      const [unerased, pushedMs] =
        await Promise.all([settleErasures(ledger, rest), settlePushes(ledger, rest, fcm.pushes)])
      await readers.askAgain()
      return { unerased, pushedMs }
    }
  }
}
