/**
 * The steps of a walk, as plain values: what the others do, what the user does on the device, what
 * happens to its connection, its process and its log. Numbers choose among what there is when the
 * step's turn comes. A seed makes the same steps in every run.
 */
import fc from 'fast-check'
import { anyAction, anyChange, anySend, BEGINNING, type Action } from '../../model/actions.ts'

/** Apart from those of the others, so that nobody else takes them back. */
const EMOJI = ['🎉', '🔥'] as const
const MAX_WRITTEN = 5
const MAX_MISSED = 5
/** Of a fuse: through a few packets, or one answer of REST. */
const MAX_BYTES = 4_000

/** So that much happens between a question and its answer. */
const MAX_LAG_MS = 60

const n = fc.noBias(fc.nat(999))
const door = fc.constantFrom<'rest' | 'mqtt'>('rest', 'mqtt')

type StepOf<K extends string, T extends object> = fc.Arbitrary<{ do: K } & T>

const step = <K extends string, T extends object>(
  name: K, fields: { [P in keyof T]: fc.Arbitrary<T[P]> }
): StepOf<K, T> =>
    fc.record({ do: fc.constant(name), ...fields }) as unknown as StepOf<K, T>

/** By whom is no matter: one of the users, also the one with the device, on another one. */
const action = anyAction.filter(({ do: name }) => name !== 'look' && name !== 'createCrowd')

const own = {
  write: step('write', { where: n, reply: fc.option(n), mention: fc.boolean() }),
  writeMany: step('writeMany', { where: n, count: fc.integer({ min: 2, max: MAX_WRITTEN }) }),
  editOwn: step('editOwn', { which: n }),
  unsend: step('unsend', { which: n }),
  reactTo: step('reactTo', { which: n, emoji: fc.constantFrom(...EMOJI), on: fc.boolean() }),
  readUpTo: step('readUpTo', { which: n }),
  open: step('open', { other: n, group: fc.boolean() }),
  scrollUp: step('scrollUp', { where: n }),
  tryAgain: step('tryAgain', { which: n }),
  giveUp: step('giveUp', { which: n })
}

const network = {
  cut: step('cut', { loseAnswers: fc.boolean() }),
  cutAfter: step('cutAfter', {
    door,
    direction: fc.constantFrom<'up' | 'down'>('up', 'down'),
    bytes: fc.integer({ min: 1, max: MAX_BYTES })
  }),
  lag: step('lag', { door, ms: fc.integer({ min: 1, max: MAX_LAG_MS }) }),
  freeze: step('freeze', {}),
  abandon: step('abandon', {}),
  noNetwork: step('noNetwork', {}),
  heal: step('heal', {}),
  switchOff: step('switchOff', {}),
  switchOn: step('switchOn', {})
}

/** A page of older messages is on its way while some of them change. */
const scrolling = {
  scrollUpMeanwhile: step('scrollUpMeanwhile', {
    where: n,
    ms: fc.integer({ min: 1, max: MAX_LAG_MS }),
    changes: fc.array(anyChange, { minLength: 1, maxLength: 4, size: 'max' })
  })
}

const life = {
  kill: step('kill', {}),
  /** At one of the next writes to the store, before or after it is done. */
  killAtWrite: step('killAtWrite', { writes: fc.nat(6), done: fc.boolean() }),
  closeAndOpen: step('closeAndOpen', {}),
  catchUp: step('catchUp', {})
}

/**
 * The device is offline while the others do something. Meanwhile its server
 *
 * expires    loses all events but the last ones, as after 30 days
 * forgets    knows nothing of the device any more, as after 30 days too; another one has everything
 * believes   thinks that the device has everything
 */
const server = {
  away: step('away', {
    actions: fc.array(action, { minLength: 1, maxLength: MAX_MISSED, size: 'max' }),
    server: fc.constantFrom('expires', 'forgets', 'believes'),
    kept: fc.nat(3)
  })
}

type Arbitraries = typeof own & typeof network & typeof life & typeof server & typeof scrolling
type Named = {
  [K in keyof Arbitraries]: Arbitraries[K] extends fc.Arbitrary<infer T> ? T : never
}
export type OwnStep = Named[keyof typeof own]
export type NetworkStep = Named[keyof typeof network]
export type LifeStep = Named[keyof typeof life]
export type AwayStep = Named['away']
export type ScrollStep = Named['scrollUpMeanwhile']
export type Step =
  { do: 'others', action: Action } | OwnStep | NetworkStep | LifeStep | AwayStep | ScrollStep

const WEIGHTS: Partial<Record<Step['do'], number>> = {
  others: 40,
  write: 8,
  writeMany: 2,
  editOwn: 3,
  unsend: 2,
  reactTo: 4,
  readUpTo: 4,
  scrollUp: 2,
  scrollUpMeanwhile: 4,
  cut: 4,
  cutAfter: 6,
  kill: 3,
  killAtWrite: 3,
  switchOn: 2,
  heal: 2,
  lag: 3,
  away: 5,
  catchUp: 3
}

const others = { others: step('others', { action }) }
const anyStep: fc.Arbitrary<Step> = fc.oneof(
  ...Object.entries({ ...others, ...own, ...network, ...life, ...server, ...scrolling })
    .map(([name, arbitrary]) => ({
      arbitrary: arbitrary as fc.Arbitrary<Step>, weight: WEIGHTS[name as Step['do']] ?? 1
    })))

const MIN_STEPS = 12
const MAX_STEPS = 22
/** A crowd is 32 people, and what happens in it 32 times the work: one in so many walks has one. */
const CROWD_EVERY = 8
/** Before the device comes, so that most of it lies before what the device holds. */
const MAX_BEFORE = 14

const walks = fc.record({
  before: fc.array(fc.oneof(anySend, anySend, action), { minLength: 4, maxLength: MAX_BEFORE, size: 'max' }),
  crowd: fc.noBias(fc.integer({ min: 1, max: CROWD_EVERY })),
  steps: fc.array(anyStep, { minLength: MIN_STEPS, maxLength: MAX_STEPS, size: 'max' })
})

export interface Plan {
  /** What there is before the device comes. */
  beginning: Action[]
  steps: Step[]
}

export function planOf (seed: number): Plan {
  const [{ before, crowd, steps }] =
    fc.sample(walks, { seed, numRuns: 1 }) as [{ before: Action[], crowd: number, steps: Step[] }]
  const founding = BEGINNING.filter(({ do: name }) =>
    name !== 'look' && (name !== 'createCrowd' || crowd === CROWD_EVERY))
  return { beginning: [...founding, ...before], steps }
}
