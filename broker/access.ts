/** Which topics a client may publish to, subscribe to and be sent. */
import { type Identity } from '../core/identity.ts'
import { filterMatches, grantCovers, isUserTopic, outboxTopic, ownFilters } from '../core/topics.ts'

export type SubscriptionKind = 'own' | 'granted' | 'observed'

/** Undefined: refused. */
export function subscriptionKind (
  { userId, admin, acl }: Identity, filter: string
): SubscriptionKind | undefined {
  if (ownFilters(userId).includes(filter)) return 'own'
  if (filter.includes('\0')) return undefined
  if (!isUserTopic(filter) && acl?.sub.some(grant => grantCovers(grant, filter)) === true) return 'granted'
  // Commands carry tokens: not even an admin may watch them go by.
  return admin && !/^user\/[^/]*\/outbox$/.test(filter) ? 'observed' : undefined
}

/**
 * Topics beyond the user's own outbox. Without U+0000, for which every receiver would have to
 * close its connection [MQTT-1.5.3-2].
 */
export const mayPublish = ({ acl }: Identity, topic: string): boolean =>
  !isUserTopic(topic) && !/^\$|\0/.test(topic) && acl?.pub.some(grant => filterMatches(grant, topic)) === true

export const isGranted = ({ acl }: Identity, topic: string): boolean =>
  acl?.sub.some(grant => filterMatches(grant, topic)) === true

export const mayReceive = (identity: Identity, topic: string): boolean => identity.admin ||
  isGranted(identity, topic)

export const isOwnOutbox = ({ userId }: Identity, topic: string): boolean => topic === outboxTopic(userId)
