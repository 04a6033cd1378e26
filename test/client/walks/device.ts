/**
 * The device of a walk: a client of the library over a network that can be cut, whose process
 * can be killed. The next one begins with what the last one had written.
 */
import {
  EchoError, type Client, type InboxEvent, type OutboxEntry, type ShownMessage
} from '../../../client/index.ts'
import { type Place } from '../../../client/state/saved.ts'
import { type Caller } from '../../api/api.ts'
import { until } from '../../support/until.ts'
import { deviceOf } from '../devices.ts'
import { type Network } from '../network.ts'
import { type Intents } from './intents.ts'
import { createDisk, type MortalStore } from './mortal-store.ts'
import { type LifeStep, type NetworkStep, type OwnStep } from './steps.ts'

const CAUGHT_UP_MS = 1_500

export interface DeviceDeps {
  user: Caller
  /** A partner for new conversations, by number. */
  other (i: number): string
  network: Network
  intents: Intents
  /** An event that is stored. */
  heard (event: InboxEvent): void
  /** What failed, and for no fault of the network. */
  fault (error: unknown): void
  /** The end of the user's log. */
  lastSeq (): Promise<number>
}

export interface Device {
  readonly client: Client
  readonly deviceId: string
  perform (step: OwnStep | NetworkStep | LifeStep): Promise<unknown>
  /** Nothing kills it or keeps it off any more, and it lives. */
  recover (): Promise<void>
  /** The last event that it has stored. */
  place (): Place | undefined
  /** Uncertain counts, which it is about to make certain. */
  isCounting (): boolean
  close (): Promise<void>
}

export async function startDevice (
  { user, other, network, intents, heard, fault, lastSeq }: DeviceDeps
): Promise<Device> {
  const deviceId = 'device'
  const disk = createDisk()
  let store: MortalStore
  let client: Client
  let isDead = true
  let isOff = false

  async function start (): Promise<void> {
    store = disk.open()
    isDead = false
    const born = client = deviceOf({ api: { url: network.api }, mqttPort: network.mqttPort } as never, user, {
      deviceId, store
    })
    born.on('event', heard)
    born.on('refused', ({ entry }) => intents.refused(entry))
    born.setOnline(!isOff)
    const buried = store.death.then(() => bury(born))
    await Promise.race([born.start(), buried])
  }

  /** The dead send nothing more. */
  function bury (dead: Client): void {
    if (client === dead) isDead = true
    network.cut()
    dead.setOnline(false)
    dead.close().catch(fault) // it never ends, and holds nothing
  }

  async function kill (): Promise<void> {
    store.die()
    await store.death
    await revive()
  }

  async function revive (): Promise<void> {
    if (isDead) await start()
  }

  /** What fails without a network may fail; all else may not. */
  const whatever = (asked: Promise<unknown>): void => {
    asked.catch(error => { if (!(error instanceof EchoError)) fault(error) })
  }

  const conversationId = (i: number): string | undefined => {
    const all = client.model.conversations()
    return all[i % all.length]?.id
  }
  function held (i: number, isWanted: (message: ShownMessage) => boolean = () => true) {
    const all = client.model.conversations().flatMap(({ id }) => client.model.messages(id))
      .filter((message): message is ShownMessage & { id: string } => message.id !== null && isWanted(message))
    return all[i % all.length]
  }
  const failed = (i: number): OutboxEntry | undefined => {
    const all = client.model.outbox().filter(({ state }) => state === 'failed')
    return all[i % all.length]
  }

  function act (step: OwnStep): unknown {
    switch (step.do) {
      case 'write': {
        const conversation_id = conversationId(step.where)
        if (conversation_id === undefined) return
        const messages = client.model.messages(conversation_id).filter(({ id }) => id !== null)
        return intents.write(client, {
          conversation_id,
          content: intents.text(),
          reply_to_id: step.reply === null ? null : messages[step.reply % messages.length]?.id ?? null,
          mentions: step.mention ? [{ user_id: user.id, offset: 0, length: 3 }] : []
        })
      }
      case 'writeMany': {
        const conversation_id = conversationId(step.where)
        if (conversation_id === undefined) return
        return Array.from({ length: step.count }, () =>
          intents.write(client, { conversation_id, content: intents.text() }))
      }
      case 'editOwn': {
        // Also of others, who are right to have it refused.
        const message = held(step.which, ({ own, deleted_at }) =>
          deleted_at === null && (own || step.which % 7 === 0))
        return message && intents.edit(client, message)
      }
      case 'unsend': {
        const message = held(step.which, ({ own }) => own || step.which % 7 === 0)
        return message && intents.unsend(client, message)
      }
      case 'reactTo': {
        const message = held(step.which)
        return message && intents.react(client, message, step.emoji, step.on)
      }
      case 'readUpTo': {
        const message = held(step.which)
        return message && intents.read(client, message)
      }
      case 'open': {
        const partner = other(step.other)
        return whatever(client.createConversation(step.group
          ? { type: 'group', participant_ids: [partner], title: 'opened' }
          : { type: 'direct', participant_ids: [partner] }))
      }
      case 'scrollUp': {
        const id = conversationId(step.where)
        return id !== undefined && whatever(client.loadOlder(id))
      }
      case 'tryAgain': {
        const entry = failed(step.which)
        return entry && whatever(client.retry(entry.id))
      }
      case 'giveUp': {
        const entry = failed(step.which)
        return entry && intents.giveUp(client, entry)
      }
    }
  }

  async function perform (step: OwnStep | NetworkStep | LifeStep): Promise<unknown> {
    await revive()
    switch (step.do) {
      case 'cut': return network.cut(step.loseAnswers)
      case 'cutAfter': return network.cutAfter(step.door, step.direction, step.bytes)
      case 'lag': return network.lag(step.door, step.ms)
      case 'freeze': return network.freeze()
      case 'abandon': return network.abandon()
      case 'noNetwork': return network.end()
      case 'heal': return network.heal()
      case 'switchOff':
      case 'switchOn':
        isOff = step.do === 'switchOff'
        return client.setOnline(!isOff)
      case 'kill': return await kill()
      case 'killAtWrite': return store.dieAtWrite(step.writes, step.done)
      case 'closeAndOpen': {
        await Promise.race([client.close(), store.death])
        isDead = true
        return await start()
      }
      case 'catchUp': {
        const end = await lastSeq()
        return await until(() => isDead || (place()?.seq ?? -1) >= end, '', CAUGHT_UP_MS)
          .then(() => true, () => false)
      }
      default: return act(step)
    }
  }

  const place = (): Place | undefined => disk.tables.place.get('inbox') as Place | undefined

  await start()
  return {
    get client () { return client },
    deviceId,
    perform,
    async recover () {
      network.heal()
      store.dieAtWrite(Infinity, false)
      await perform({ do: 'switchOn' })
    },
    place,
    isCounting: () => ([...disk.tables.conversations.values()] as Array<{ recount: boolean }>)
      .some(({ recount }) => recount),
    async close () { await client.close() }
  }
}
