/** The MQTT topics of a user, and how filters match [MQTT-4.7]. */

export const inboxTopic = (userId: string): string => `user/${userId}/inbox`
export const liveTopic = (userId: string): string => `user/${userId}/live`
export const outboxTopic = (userId: string): string => `user/${userId}/outbox`
export const repliesTopic = (userId: string): string => `user/${userId}/replies`

/** The filters through which a user may subscribe to their own topics. */
export const ownFilters = (userId: string): string[] =>
  [inboxTopic(userId), liveTopic(userId), repliesTopic(userId), `user/${userId}/#`, `user/${userId}/+`]

/** Topics below `user/` belong to Echo and never pass through the broker's emitter or store. */
export const isUserTopic = (topic: string): boolean => topic.startsWith('user/') || topic === 'user'

/** Every topic and filter has at least one character [MQTT-4.7.3-1]; `#` is the last level, alone in it. */
export const isTopicFilter = (filter: string): boolean => filter !== '' &&
  filter.split('/').every((level, i, { length }) =>
    level === '+' || (level === '#' && i === length - 1) || !/[#+]/.test(level))

export const isTopicName = (topic: string): boolean => topic !== '' && !/[#+]/.test(topic)

/** Does this filter match this topic? A leading wildcard does not match `$…` [MQTT-4.7.2-1]. */
export function filterMatches (filter: string, topic: string): boolean {
  if (filter === topic) return true
  if (topic.startsWith('$') && !filter.startsWith('$')) return false
  const want = filter.split('/')
  const have = topic.split('/')
  for (let i = 0; i < want.length; i++) {
    if (want[i] === '#') return true
    if (i >= have.length || (want[i] !== '+' && want[i] !== have[i])) return false
  }
  return want.length === have.length
}

/** Is everything that `filter` could match also matched by `grant`? */
export function grantCovers (grant: string, filter: string): boolean {
  if (filter.startsWith('$') !== grant.startsWith('$')) return false
  const allowed = grant.split('/')
  const asked = filter.split('/')
  for (let i = 0; i < allowed.length; i++) {
    if (allowed[i] === '#') return true
    if (i >= asked.length || asked[i] === '#') return false
    if (allowed[i] !== '+' && allowed[i] !== asked[i]) return false
  }
  return allowed.length === asked.length
}
