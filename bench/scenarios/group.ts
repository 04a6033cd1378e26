/**
 * A group whose members are all online: it is created, gets another title and
 * messages one after the other, while other users write to each other.
 */
import { Crowd } from '../load/crowd.ts'
import { HttpClient } from '../load/http.ts'
import { quantile } from '../load/latencies.ts'
import { World } from '../load/world.ts'
import { poisson } from './messages.ts'
import { type Scenario } from './scenario.ts'

const MESSAGES = 100
const OTHERS = { users: 40, senders: 20, partners: 4 }
const OTHERS_PER_SECOND = 50
const WARM_UP_MS = 3_000
/** Users who were held up write a moment later too. */
const AFTERMATH_MS = 500
const TIMEOUT_MS = 120_000

export const group: Scenario = {
  name: 'group',
  sizes: 'groupSizes',
  compared: ['all know ms', 'message p50 ms', 'message worst ms', 'others p99 ms'],
  async run ({ server, world: options }, size) {
    using others = await World.open(server, { ...options, ...OTHERS })
    using crowd = new Crowd(server, 'member', size)
    await crowd.connect(0, size)
    const admin = new HttpClient(server.api, { authorization: `Bearer ${crowd.token(0)}` })
    const background = new AbortController()
    const writing = poisson(OTHERS_PER_SECOND)(others, background.signal)
    writing.catch(() => {}) // awaited below
    await pause(WARM_UP_MS)

    let conversationId = ''
    const created = await timed(crowd, size, payload => {
      if (!payload.includes('"type":"conversation_created"')) return false
      conversationId = /"conversation":\{.*?"id":"([^"]+)"/.exec(payload)?.[1] ?? conversationId
      return true
    }, async () => await admin.post('/api/v1/conversations', JSON.stringify({
      type: 'group',
      title: 'Before',
      participant_ids: Array.from({ length: size - 1 }, (_, i) => crowd.userId(i + 1))
    })))
    const titled = await timed(
      crowd, size,
      payload => payload.includes('"type":"conversation_updated"'),
      async () => await admin.patch(`/api/v1/conversations/${conversationId}`, '{"title":"After"}')
    )
    await pause(AFTERMATH_MS)

    const messagesFrom = performance.now()
    const messages: number[] = []
    for (let i = 0; i < MESSAGES; i++) {
      const content = `message ${i} to the group`
      const sent = await timed(
        crowd, size - 1,
        payload => payload.includes(content) && payload.includes('"type":"new_message"'),
        async () => await admin.post('/api/v1/messages', JSON.stringify({
          conversation_id: conversationId, content, message_type: 'text'
        }))
      )
      messages.push(sent.allMs)
    }
    const messagesTo = performance.now()
    background.abort()
    await writing
    await others.settled()
    admin.close()

    const delays = (from: number, to: number): number[] => others.traces
      .filter(trace => trace.sentAt >= from && trace.sentAt < to)
      .map(trace => trace.deviceAt - trace.sentAt)
    return {
      answer: created.status,
      'answered ms': Math.round(created.answeredMs),
      'all know ms': Math.round(created.allMs),
      'title: all know ms': Math.round(titled.allMs),
      'others worst ms then': quantile(delays(created.at - AFTERMATH_MS, messagesFrom), 1),
      'message p50 ms': quantile(messages, 0.5),
      'message worst ms': quantile(messages, 1),
      'others p50 ms': quantile(delays(messagesFrom, messagesTo), 0.5),
      'others p99 ms': quantile(delays(messagesFrom, messagesTo), 0.99)
    }
  }
}

/** How long a request takes, and how long until so many members have the event. */
async function timed (
  crowd: Crowd, members: number, matches: (payload: string) => boolean,
  request: () => Promise<{ status: number }>
): Promise<{ at: number, status: number, answeredMs: number, allMs: number }> {
  const at = performance.now()
  const knowing = new Set<number>()
  const allMs = new Promise<number>((resolve, reject) => {
    const timer = setTimeout(
      () => reject(new Error(`only ${knowing.size} of ${members} heard of it`)), TIMEOUT_MS
    )
    crowd.onEvent = (device, payload) => {
      if (!matches(payload) || knowing.add(device).size < members) return
      clearTimeout(timer)
      resolve(performance.now() - at)
    }
  })
  const { status } = await request()
  const answeredMs = performance.now() - at
  return { at, status, answeredMs, allMs: await allMs }
}

async function pause (ms: number): Promise<void> {
  await new Promise(resolve => setTimeout(resolve, ms))
}
