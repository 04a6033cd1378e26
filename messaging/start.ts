/** Puts the messaging of one process together: what the doors call, and what runs behind it. */
import { type Logger } from 'pino'
import { type Database } from '../store/database.ts'
import { alone, type Cluster, type Opening } from './cluster/cluster.ts'
import {
  createAuthentication, type Authentication, type AuthenticationOptions
} from './access/authentication.ts'
import { createBlocks, type Blocks } from './people/blocks.ts'
import { createConnections, type Connections } from './deliver/connections.ts'
import { createConversations, type Conversations } from './conversations/conversations.ts'
import { createDrafts, type Drafts } from './conversations/drafts.ts'
import { startErasures, type Erasures } from './admin/erasures.ts'
import { startTokenExpiry } from './access/expiry.ts'
import { startExpiry } from './log/retention.ts'
import { startEpochs } from './log/epochs.ts'
import { createTellResync } from './log/resync.ts'
import { createAnnounce } from './log/announce.ts'
import { createInboxLog, type InboxLog } from './log/read.ts'
import { createMessageChanges, type MessageChanges } from './messages/changes.ts'
import { createFeeds, type Feeds } from './deliver/feeds.ts'
import { createOpenings, type Openings } from './deliver/openings.ts'
import { createOverdue, type Overdue } from './deliver/overdue.ts'
import { showParts } from './metrics.ts'
import { type KnownSessions } from './log/batch.ts'
import { type Acknowledgements, type Committer, type Sends, startCommitter } from './log/commit.ts'
import { createPresenceNotices } from './people/presence-notices.ts'
import { createPresenceViews, type PresenceViews } from './people/presence-views.ts'
import { startPresence, type Presence } from './people/presence.ts'
import { startNameTelling } from './people/name-telling.ts'
import { createProfiles, type Profiles } from './people/profiles.ts'
import { createPushLog, type PushLog } from './cluster/push-log.ts'
import { answerFrom } from './cluster/questions.ts'
import { createRefusals, type Refusals } from './access/refusals.ts'
import { startRevocations, type Revocations } from './access/revocations.ts'
import { createSearch, type Search } from './messages/search.ts'
import { startSearchIndexer } from './messages/search-indexer.ts'
import { createTrackedSessions, type TrackedSessions } from './deliver/tracked-sessions.ts'
import { gatherStatistics, type Statistics } from './admin/statistics.ts'
import { startSweep } from './deliver/sweep.ts'
import { createTyping, type Typing } from './conversations/typing.ts'
import { createUserConnections, type UserConnections } from './admin/user-connections.ts'
import { createWakes, type WakeEvent, type Wakes } from './deliver/wakes.ts'

export interface MessagingDeps {
  database: Database
  authentication: AuthenticationOptions
  graceMs: number
  /** How long a session may acknowledge nothing of what it was sent; 60 s by default. */
  stalledMs?: number
  /** How often logs are compared with what their devices were sent; every 5 s by default. */
  sweepMs?: number
  /** How often it is looked for connections whose token has expired. */
  tokenCheckMs?: number
  log: Logger
  /** The other nodes; none by default. */
  cluster?: Cluster
  /** How long a user must be gone before others are told. */
  offlineAfterMs?: number
  /** The time that all nodes go by, in milliseconds since 1970; the host's by default. */
  now?: () => number
  /** How long an erasure waits for what is under way, so that it erases the result of that too. */
  erasureSettleMs?: number
}

export interface Messaging extends AsyncDisposable {
  database: Database
  epoch: string
  authentication: Pick<Authentication, 'authenticate'>
  /** Doors note here whom they turn away. */
  refusals: Pick<Refusals, 'note'>
  sends: Sends
  readReceipts: Committer['readReceipts']
  search: Search
  messageChanges: MessageChanges
  conversations: Conversations
  acknowledgements: Acknowledgements
  openings: Openings
  inboxLog: InboxLog
  trackedSessions: TrackedSessions
  connections: Connections
  feeds: Pick<Feeds, 'open' | 'all'>
  presence: Pick<Presence, 'isOnline'>
  presenceViews: PresenceViews
  blocks: Blocks
  typing: Typing
  drafts: Drafts
  profiles: Pick<Profiles, 'rename'>
  revocations: Pick<Revocations, 'revoke'>
  erasures: Pick<Erasures, 'request' | 'find' | 'onErasing'>
  userConnections: UserConnections
  /** What the push bridge of this process has sent. */
  pushLog: Pick<PushLog, 'add'>
  statistics: () => Promise<Statistics>
  wakes: Wakes
  overdue: Overdue
  cluster: Cluster
  graceMs: number
  /** The time that all nodes go by, in milliseconds since 1970. */
  now: () => number
  /** Calls back soon after push rows were written; a hint for a bridge in this process. */
  onPushDue (listener: () => void): void
  /** Calls back when a device opened a connection on another node. */
  onOpened (listener: (opening: Opening) => void): void
}

export async function startMessaging ({
  database, authentication, graceMs, stalledMs, sweepMs, tokenCheckMs, log, cluster = alone(),
  offlineAfterMs, erasureSettleMs, now = Date.now
}: MessagingDeps): Promise<Messaging> {
  const epochs = await startEpochs({ database, log })
  const epoch = epochs.current
  const sessions = createTrackedSessions((userId, present) => cluster.changed(userId, 'tracked', present))
  const local = createWakes({
    changed: (userId, present) => cluster.changed(userId, 'listening', present),
    observing: present => cluster.observing(present)
  })
  const wakes = acrossNodes(local, cluster)
  const wake = (events: WakeEvent[]): void => wakes.wake(events)
  const pushListeners: Array<() => void> = []
  const openedListeners: Array<(opening: Opening) => void> = []
  const pushDueHere = (): void => { for (const listener of pushListeners) listener() }
  const pushDue = (): void => {
    pushDueHere()
    cluster.pushDue()
  }

  const sessionsOf = (userIds: string[]): Promise<KnownSessions> => findSessions(userIds, sessions, cluster)
  const overdue = createOverdue({
    database, findSessions: sessionsOf, sessionsTold: cluster.told, graceMs, now, pushDue, log
  })
  const searchIndexer = startSearchIndexer({ database, log })
  const committer = startCommitter({
    database,
    epochs,
    fenced: cluster.state() !== 'alone',
    graceMs,
    now,
    wake,
    pushDue,
    overdue: overdue.add,
    stored: searchIndexer.stored,
    findSessions: sessionsOf,
    log
  })
  const { sends, acknowledgements, readReceipts } = committer
  // Of what is not committed by the committer.
  const tell = (events: WakeEvent[]): void => {
    committer.appended(events)
    wake(events)
  }
  const pushLog = createPushLog()
  const messageChanges = createMessageChanges({ database, epoch, wake: tell, now })
  const inboxLog = createInboxLog(database.autocommit, epoch)
  const openings = createOpenings({
    database, epoch, acknowledgements, tellResync: createTellResync({ database, epochs, wake: tell, now })
  })
  const connections = createConnections((userId, present) => presence.changed(userId, present))
  const feeds = createFeeds({ connections, wakes, openings, epoch, readLog: inboxLog.after, now })
  const sweep = startSweep({
    sessions,
    feeds,
    database,
    epoch,
    overdue,
    tooShort: (userId, seq, sentIn) => epochs.suspect({ userId, seq }, sentIn),
    graceMs,
    stalledMs,
    sweepMs,
    log,
    now
  })
  const expiry = startExpiry({ database, log, now }, sessions)
  const nameTelling =
    startNameTelling({ database, announce: createAnnounce({ database, epoch, wake: tell }), now, log })
  const profiles = createProfiles({ database, telling: nameTelling, now })
  const known = createAuthentication(authentication, { database, meet: profiles.meet, log, now })
  const notices = createPresenceNotices({ database, wakes, log })
  const presence = startPresence({ connections, cluster, notices, offlineAfterMs, now })
  const refusals = createRefusals(log)
  const tokenExpiry = startTokenExpiry({ connections, now, checkMs: tokenCheckMs })
  epochs.onNew(() => {
    for (const connection of connections.all()) connection.disconnect('the inbox logs have a new epoch')
  })
  const presenceViews = createPresenceViews(database.autocommit, presence)
  const revocations = startRevocations({ database, authentication: known, connections, cluster, log })
  const erasures = startErasures({
    database,
    epoch,
    wake: tell,
    revocations,
    log,
    settleMs: erasureSettleMs,
    alone: cluster.state() === 'alone',
    now
  })
  // No node watches the sessions of one that is gone; devices that come back cancel this by acknowledging.
  cluster.onNodesGone(({ left, lost }) => {
    if (left.length > 0) log.info({ nodes: left }, 'a node has left: it was stopped')
    if (lost.length > 0) {
      log.warn({ nodes: lost }, 'a node is gone; what its sessions left unacknowledged becomes due')
    }
    if (left.length + lost.length === 0) {
      log.warn('Redis was emptied; what sessions left unacknowledged becomes due')
    }
    overdue.nodeLost()
  })
  await cluster.join({
    wake: local.wake,
    live: local.live,
    observe: local.copy,
    observeLive: local.copyLive,
    opened: opening => { for (const listener of openedListeners) listener(opening) },
    revoked: revocations.apply,
    pushDue: pushDueHere,
    abandoned: presence.abandoned,
    reappeared: presence.reappeared,
    answers: answerFrom(connections, sessions, pushLog)
  }, { listening: local.users, tracked: sessions.users, online: presence.entered, observed: local.observed })
  const stopShowing = showParts({ database, sends, acknowledgements, sessions, connections, feeds, cluster })

  return {
    database,
    get epoch () { return epoch() },
    authentication: known,
    refusals,
    sends,
    readReceipts,
    search: createSearch(database),
    messageChanges,
    conversations: createConversations({ database, epoch, wake: tell, now }),
    acknowledgements,
    openings,
    inboxLog,
    trackedSessions: sessions,
    connections,
    feeds,
    presence,
    presenceViews,
    blocks: createBlocks({ database, presenceViews, wakes }),
    typing: createTyping({ db: database.autocommit, wakes, now }),
    drafts: createDrafts({ db: database.autocommit, wakes, now }),
    profiles,
    revocations,
    erasures,
    userConnections: createUserConnections({ database, cluster }),
    pushLog,
    statistics: () => gatherStatistics(database, cluster),
    wakes,
    overdue,
    cluster,
    graceMs,
    now,
    onPushDue (listener) { pushListeners.push(listener) },
    onOpened (listener) { openedListeners.push(listener) },
    async [Symbol.asyncDispose] () {
      stopShowing()
      refusals[Symbol.dispose]()
      tokenExpiry[Symbol.dispose]()
      await expiry[Symbol.asyncDispose]()
      await nameTelling[Symbol.asyncDispose]()
      await erasures[Symbol.asyncDispose]()
      await sweep[Symbol.asyncDispose]()
      await epochs[Symbol.asyncDispose]()
      await revocations[Symbol.asyncDispose]()
      await presence[Symbol.asyncDispose]()
      await messageChanges.drained()
      await committer[Symbol.asyncDispose]()
      await searchIndexer[Symbol.asyncDispose]()
      await overdue.flush()
      await notices.flush()
    }
  }
}

/** What happens here is told here at once, and to the nodes that hold sessions of the users concerned. */
const acrossNodes = (local: Wakes, cluster: Cluster): Wakes => ({
  ...local,
  wake (events) {
    local.wake(events)
    local.copy(events)
    cluster.wake(events)
  },
  live (userIds, payload) {
    local.live(userIds, payload)
    local.copyLive(userIds, payload)
    cluster.live(userIds, payload)
  }
})

async function findSessions (
  userIds: string[], sessions: TrackedSessions, cluster: Cluster
): Promise<KnownSessions> {
  const present = new Set(userIds.filter(id => sessions.has(id)))
  const elsewhere = await cluster.trackedElsewhere(userIds.filter(id => !present.has(id)))
  for (const userId of elsewhere ?? []) present.add(userId)
  return { present, certain: elsewhere !== undefined }
}
