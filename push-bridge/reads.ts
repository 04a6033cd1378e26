/**
 * Silent pushes: a device that shows what its user has read elsewhere is told to
 * remove it. At most one per device in 20 minutes, for Apple holds more back;
 * what is read meanwhile is in the next one. None to a device that has caught up.
 */
import { type Logger } from 'pino'
import { type Database } from '../store/database.ts'
import {
  claimReads, devicesShowingRead, recordCleared, settleReads, type ClaimedReads, type ReadDevice
} from '../store/push/reads.ts'
import { unreadBadges } from '../store/push/pending.ts'
import { forgetPushTokens } from '../store/push/told.ts'
import { retryDelayMs } from './pace/backoff.ts'
import { type Dispatch } from './dispatch.ts'
import { type Gate } from './pace/gate.ts'
import { removedTokens } from './metrics.ts'
import { type Push, type PushResult } from './sender.ts'

const SILENT_EVERY_MS = 20 * 60_000
/** As many as fit into a push beside everything else. */
const MAX_CONVERSATIONS = 30

export interface ReadsDeps {
  database: Database
  dispatch: Dispatch
  gate: Gate
  epoch: string
  log: Logger
  now: () => number
  random: () => number
  leaseMs: number
  usersPerBatch: number
  expireAfterMs: number
  retryBaseMs: number
}

/**
 * Claims and serves one batch; returns how many users it had. Rejects when the database is away:
 * the lease runs out then.
 */
export async function deliverReads (deps: ReadsDeps): Promise<number> {
  const { database, dispatch, now, expireAfterMs } = deps
  const at = new Date(now())
  const leasedUntil = new Date(at.getTime() + deps.leaseMs)
  const claims = await claimReads(database.autocommit, at, leasedUntil, deps.usersPerBatch)
  if (claims.length === 0) return 0
  const devices = await devicesShowingRead(database.autocommit, {
    userIds: claims.map(claim => claim.user_id),
    leasedUntil,
    expiresBefore: new Date(at.getTime() - expireAfterMs),
    maxConversations: MAX_CONVERSATIONS
  })
  const ready = devices.filter(device => mayBeToldAt(device) <= at.getTime())
  const badges =
    await unreadBadges(database.autocommit, [...new Set(ready.map(device => device.user_id))], at)
  const { results, believed } = ready.length === 0
    ? { results: [], believed: false }
    : await dispatch(ready.map(device => renderRead(device, badges.get(device.user_id) ?? 0, deps)))
  const gone = ready.filter((_, i) => believed && results[i]!.outcome === 'token_gone')
  const failed = new Map(ready.map((device, i) => [device, results[i]!] as const)
    .filter(([, result]) => isUnfinished(result)))
  const again = claims.flatMap(claim => {
    const dueAt = nextAt(claim, devices, failed, deps)
    return dueAt === undefined ? [] : [{ user_id: claim.user_id, due_at: dueAt }]
  })
  const waiting = new Set(again.map(({ user_id }) => user_id))
  await database.transact(async tx => {
    await forgetPushTokens(tx, gone)
    await recordCleared(tx, ready.filter(device => !failed.has(device)), at)
    await settleReads(tx, claims.filter(({ user_id }) => !waiting.has(user_id)), again, leasedUntil)
  })
  removedTokens.inc(gone.length)
  deps.log.debug(
    { users: claims.length, pushes: ready.length, postponed: again.length },
    'a batch of silent pushes is done'
  )
  return claims.length
}

const isUnfinished = ({ outcome }: PushResult): boolean => outcome === 'retry' || outcome === 'blocked'

const mayBeToldAt = ({ push_cleared_at }: ReadDevice): number => (push_cleared_at?.getTime() ?? -Infinity) +
  SILENT_EVERY_MS

/** When the user is to be looked at again; undefined when there is nothing left, or it is too old. */
function nextAt (
  claim: ClaimedReads, devices: ReadDevice[], failed: Map<ReadDevice, PushResult>,
  { now, random, gate, expireAfterMs, retryBaseMs }: ReadsDeps
): Date | undefined {
  if (claim.created_at.getTime() < now() - expireAfterMs) return undefined
  const times = devices.filter(device => device.user_id === claim.user_id).flatMap(device => {
    const result = failed.get(device)
    if (result !== undefined) {
      const afterMs = result.outcome === 'retry' ? result.afterMs ?? 0 : 0
      return [gate.closedUntil()?.getTime() ??
        now() + Math.max(afterMs, retryDelayMs(claim.attempts, retryBaseMs, random))]
    }
    return mayBeToldAt(device) > now() ? [mayBeToldAt(device)] : []
  })
  return times.length === 0 ? undefined : new Date(Math.min(...times))
}

export function renderRead (
  device: ReadDevice, badge: number, { epoch, expireAfterMs }: { epoch: string, expireAfterMs: number }
): Push {
  const [latest] = device.read
  return {
    userId: device.user_id,
    deviceId: device.device_id,
    platform: device.platform,
    token: device.push_token,
    data: {
      type: 'message_read',
      conversation_id: latest!.conversation_id,
      up_to_seq: String(latest!.up_to_seq),
      conversations: JSON.stringify(device.read),
      badge: String(badge),
      epoch
    },
    conversationTag: latest!.conversation_id,
    collapseId: latest!.conversation_id,
    ttlSeconds: Math.floor(expireAfterMs / 1_000),
    badge
  }
}
