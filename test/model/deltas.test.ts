/**
 * Snapshot plus deltas equals snapshot: whatever users do, a client that applies their
 * events by the rules of docs/protocol.md to what it saw before shows exactly what
 * a fresh snapshot shows.
 */
import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { EVENT_TYPES } from '../../core/events.ts'
import {
  ACROSS_THE_THRESHOLD, anyAction, BEGINNING, EVERYTHING, LEFT_AND_BACK, OWN_READ_ABOVE_HIDDEN
} from './actions.ts'
import { check } from './check.ts'
import { startEcho, type Echo } from './world.ts'

let echo: Echo

beforeAll(async () => { echo = await startEcho() })
afterAll(async () => { await echo[Symbol.asyncDispose]() })

test('after one of everything, and every type of event has come', async () => {
  const seen = new Map<string, number>()
  await check(echo, seen, EVERYTHING)
  expect([...seen.keys()].sort()).toEqual(EVENT_TYPES.filter(type => type !== 'resync_required').toSorted())
})

test('after the blocker read an own message above a hidden one', async () => {
  await check(echo, new Map(), OWN_READ_ABOVE_HIDDEN)
})

test('after a group became large, small and large again', async () => {
  await check(echo, new Map(), ACROSS_THE_THRESHOLD)
})

test('after two left a group and came back', async () => {
  await check(echo, new Map(), LEFT_AND_BACK)
})

const sequences = fc.array(anyAction, { minLength: 30, maxLength: 60, size: 'max' })
const property =
  fc.asyncProperty(sequences, async actions => { await check(echo, new Map(), [...BEGINNING, ...actions]) })

test('after sequences that are the same in every run', async () => {
  await fc.assert(property, { seed: 20_260, numRuns: 6, interruptAfterTimeLimit: 20_000 })
})

test('after random sequences', async () => {
  await fc.assert(property, { numRuns: 4, interruptAfterTimeLimit: 15_000 })
})
