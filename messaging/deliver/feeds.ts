/**
 * Feeds: streams that follow an inbox log and acknowledge nothing.
 *
 * A feed moves no cursor, delivers nothing and keeps no push away. It is a connection of its user all the
 * same: presence, administrators, revocations, the end of a token and a new epoch know it.
 *
 * It listens before it asks where the log ends, so nothing falls in between. The sweep makes up for lost
 * wakes, and ends a feed whose reader takes nothing. A user has MAX_FEEDS_PER_USER at most: one more ends
 * the oldest.
 */
import { AppError } from '../../core/errors.ts'
import { type Connections } from './connections.ts'
import { Feed, type FeedDeps, type FeedOptions } from './feed.ts'
import { type Openings } from './openings.ts'
import { type Wakes } from './wakes.ts'

export const MAX_FEEDS_PER_USER = 16

export interface Feeds {
  /**
   * Resolves to a feed that listens; `begin` lets it write. Throws `gone` when the log does not go on
   * from `after`, `unavailable` when the database is away.
   */
  open (options: FeedOptions): Promise<Feed>
  of (userId: string): Iterable<Feed>
  all (): Iterable<Feed>
}

export interface FeedsDeps extends FeedDeps {
  connections: Pick<Connections, 'add'>
  wakes: Pick<Wakes, 'listen'>
  openings: Pick<Openings, 'locate'>
}

export function createFeeds ({ connections, wakes, openings, epoch, readLog, now }: FeedsDeps): Feeds {
  const byUser = new Map<string, Set<Feed>>()

  function register (feed: Feed): void {
    const own = byUser.get(feed.userId) ?? new Set()
    byUser.set(feed.userId, own.add(feed))
    feed.onClose(wakes.listen(feed.userId, feed))
    feed.onClose(() => {
      own.delete(feed)
      if (own.size === 0 && byUser.get(feed.userId) === own) byUser.delete(feed.userId)
    })
    if (own.size > MAX_FEEDS_PER_USER) [...own][0]!.disconnect('the user opened another stream')
  }

  async function locate (feed: Feed, after: number | undefined): Promise<[after: number, end: number]> {
    const end = (await openings.locate(feed))?.inbox_seq ?? 0
    if (after === undefined || after === end) return [end, end]
    if (after > end) throw resyncRequired()
    const [first] = await readLog(feed.userId, after, 1)
    if (first?.body.type === 'resync_required') throw resyncRequired()
    return [after, end]
  }

  return {
    async open (options) {
      const feed = new Feed(options, { epoch, readLog, now })
      register(feed)
      try {
        const place = await locate(feed, options.after)
        if (feed.pump.epoch !== epoch()) throw resyncRequired()
        feed.place(...place)
        // Not before: one who is turned away was never online.
        if (!feed.closed) feed.onClose(connections.add(feed))
        return feed
      } catch (error) {
        feed.close()
        throw error
      }
    },
    of: userId => byUser.get(userId) ?? [],
    all: () => [...byUser.values()].flatMap(own => [...own])
  }
}

const resyncRequired = (): AppError =>
  new AppError('gone', 'resync_required', 'the log does not go on from this seq: take a new snapshot')
