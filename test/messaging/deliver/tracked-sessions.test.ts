/** Which sessions are watched: those whose device has something to acknowledge, or takes nothing. */
import { expect, test } from 'vitest'
import { Pump } from '../../../messaging/deliver/pump.ts'
import { createTrackedSessions, type TrackedSession } from '../../../messaging/deliver/tracked-sessions.ts'

const EPOCH = 'epoch'

function setUp () {
  const sessions = createTrackedSessions()
  const socket = { takes: true }
  const pump = new Pump({
    epoch: EPOCH,
    userId: 'ann',
    deviceId: 'phone',
    connection: { write: () => socket.takes },
    readLog: async () => [],
    onAcknowledged () {},
    onWaiting: () => sessions.watch(session),
    tracked: true,
    now: () => 0
  })
  const session: TrackedSession = { userId: 'ann', deviceId: 'phone', pump, watched: false, disconnect () {} }
  sessions.add(session)
  pump.start(0, 0)
  const body = { epoch: EPOCH, type: 'new_message' as const, tail: Buffer.from('') }
  return {
    sessions, session, pump, socket, wake: (seq: number) => pump.wake([{ userId: 'ann', seq, body }])
  }
}

test('a session is watched from an event until everything is acknowledged, and again from the next one', () => {
  const { sessions, session, pump, wake } = setUp()
  expect(sessions.waiting()).toEqual([])
  wake(1)
  wake(2)
  expect(sessions.waiting()).toEqual([session])
  pump.acknowledge(1)
  expect(sessions.waiting()).toEqual([session])
  pump.acknowledge(2)
  wake(3) // before anybody has looked
  expect(sessions.waiting()).toEqual([session])
  pump.acknowledge(3)
  expect(sessions.waiting()).toEqual([])
  wake(4)
  expect(sessions.waiting()).toEqual([session])
})

test('a session is watched while its socket takes nothing, though everything is acknowledged', () => {
  const { sessions, session, pump, socket, wake } = setUp()
  socket.takes = false
  wake(1)
  pump.skipTo(1)
  expect(sessions.waiting()).toEqual([session])
  wake(2)
  expect(sessions.waiting()).toEqual([session])
  socket.takes = true
  pump.drained()
  pump.skipTo(2)
  expect(sessions.waiting()).toEqual([])
})

test('a session that is over is watched no more', () => {
  const { sessions, session, wake } = setUp()
  wake(1)
  sessions.remove(session)
  expect(sessions.waiting()).toEqual([])
})
