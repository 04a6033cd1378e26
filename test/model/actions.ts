/**
 * Everything a user can do through the public API, as plain values: numbers
 * choose among what there is when the action's turn comes, so that any sequence
 * makes sense and a shrunk one still does.
 */
import fc from 'fast-check'

/** Added to an index: this one of all, whichever user acts. */
export const EXACTLY = 1_000

const n = fc.noBias(fc.nat(EXACTLY - 1))
const emoji = fc.constantFrom('👍', '❤️', '😂')
const text = fc.constantFrom('hello', 'how are you?', 'fine 🙂', 'see you', 'zanzibar')

type ActionOf<K extends string, T extends object> = fc.Arbitrary<{ do: K, by: number } & T>

const action = <K extends string, T extends object>(
  name: K, fields: { [P in keyof T]: fc.Arbitrary<T[P]> }
): ActionOf<K, T> =>
    fc.record({ do: fc.constant(name), by: n, ...fields }) as unknown as ActionOf<K, T>

const arbitraries = {
  send: action('send', {
    where: n,
    text,
    over: fc.constantFrom<'rest' | 'mqtt'>('rest', 'rest', 'mqtt'),
    reply: fc.option(n),
    mention: fc.option(n),
    attach: fc.boolean()
  }),
  sendAgain: action('sendAgain', { which: n }),
  read: action('read', { which: n }),
  acknowledge: action('acknowledge', { back: fc.nat(3) }),
  edit: action('edit', { which: n, text }),
  delete: action('delete', { which: n }),
  react: action('react', { which: n, emoji }),
  unreact: action('unreact', { which: n, emoji }),
  createDirect: action('createDirect', { other: n }),
  createGroup: action('createGroup', { others: fc.array(n, { minLength: 1, maxLength: 3 }), text }),
  /** A group so large that one or two who come or go make it large, or small again. */
  createCrowd: action('createCrowd', { others: fc.array(n, { minLength: 1, maxLength: 3 }), text }),
  add: action('add', { where: n, other: n }),
  remove: action('remove', { where: n, other: n }),
  leave: action('leave', { where: n }),
  allow: action('allow', {
    where: n,
    other: n,
    role: fc.option(
      fc.constantFrom<'admin' | 'member'>('admin', 'member'), { nil: undefined }
    ),
    can_send_messages: fc.option(fc.boolean(), { nil: undefined })
  }),
  retitle: action('retitle', { where: n, text }),
  mute: action('mute', { where: n, muted: fc.boolean() }),
  rename: action('rename', { text }),
  block: action('block', { other: n }),
  unblock: action('unblock', { other: n }),
  type: action('type', { where: n }),
  /** Not an action on the server: from here on this user's events are applied to what they see now. */
  look: action('look', {})
}

type Arbitraries = typeof arbitraries
export type Action = {
  [K in keyof Arbitraries]: Arbitraries[K] extends fc.Arbitrary<infer T> ? T : never
}[keyof Arbitraries]

const WEIGHTS: Partial<Record<keyof typeof arbitraries, number>> = {
  send: 14,
  read: 5,
  acknowledge: 4,
  edit: 4,
  delete: 3,
  react: 5,
  unreact: 3,
  add: 5,
  remove: 3,
  leave: 2,
  allow: 2,
  block: 2,
  look: 4
}

export const anyAction: fc.Arbitrary<Action> = fc.oneof(
  ...Object.entries(arbitraries).map(([name, arbitrary]) => ({
    arbitrary: arbitrary as fc.Arbitrary<Action>, weight: WEIGHTS[name as keyof typeof arbitraries] ?? 1
  })))

/** Messages are what there must be before anything else can happen to them. */
export const anySend: fc.Arbitrary<Action> = arbitraries.send
/** What changes a message, mostly one's own. */
export const anyChange: fc.Arbitrary<Action> =
  fc.oneof(arbitraries.edit, arbitraries.delete, arbitraries.react)

/** What the random ones begin with, so that they have something to work on. */
export const BEGINNING: Action[] = [
  { do: 'createDirect', by: 0, other: 1 },
  { do: 'createGroup', by: 0, others: [1, 2], text: 'hello' },
  { do: 'createGroup', by: 1, others: [0, 2, 3], text: 'fine 🙂' },
  { do: 'createCrowd', by: 0, others: [1], text: 'see you' },
  { do: 'look', by: 0 }, { do: 'look', by: 1 }, { do: 'look', by: 2 }, { do: 'look', by: 3 }
]

/** Makes every type of event happen, and most of what is easily got wrong. */
export const EVERYTHING: Action[] = [
  { do: 'createDirect', by: 0, other: 1 },
  { do: 'createGroup', by: 0, others: [1, 2], text: 'hello' },
  { do: 'look', by: 0 }, { do: 'look', by: 1 }, { do: 'look', by: 2 },
  {
    do: 'send', by: 0, where: EXACTLY + 1, text: 'hello', over: 'rest', reply: null, mention: 1, attach: false
  },
  {
    do: 'send', by: 1, where: EXACTLY, text: 'hello', over: 'rest', reply: null, mention: null, attach: true
  },
  {
    do: 'send',
    by: 0,
    where: EXACTLY + 1,
    text: 'fine 🙂',
    over: 'mqtt',
    reply: null,
    mention: null,
    attach: false
  },
  { do: 'sendAgain', by: 0, which: EXACTLY },
  { do: 'acknowledge', by: 1, back: 0 }, { do: 'acknowledge', by: 2, back: 0 },
  { do: 'read', by: 1, which: EXACTLY }, { do: 'read', by: 2, which: EXACTLY + 2 },
  { do: 'edit', by: 0, which: EXACTLY, text: 'see you' },
  { do: 'react', by: 1, which: EXACTLY, emoji: '👍' }, {
    do: 'react', by: 2, which: EXACTLY + 0, emoji: '❤️'
  }, { do: 'unreact', by: 1, which: EXACTLY + 0, emoji: '👍' },
  {
    do: 'retitle', by: 0, where: EXACTLY + 1, text: 'fine 🙂'
  }, { do: 'mute', by: 1, where: EXACTLY + 1, muted: true },
  { do: 'rename', by: 1, text: 'see you' },
  { do: 'allow', by: 0, where: EXACTLY + 1, other: 1, role: 'admin', can_send_messages: undefined },
  { do: 'add', by: 1, where: EXACTLY + 1, other: 3 },
  {
    do: 'send',
    by: 3,
    where: EXACTLY + 1,
    text: 'hello',
    over: 'rest',
    reply: null,
    mention: null,
    attach: false
  },
  { do: 'remove', by: 0, where: EXACTLY + 1, other: 2 }, { do: 'look', by: 0 },
  { do: 'add', by: 1, where: EXACTLY + 1, other: 2 }, { do: 'leave', by: 0, where: EXACTLY + 1 },
  { do: 'delete', by: 3, which: EXACTLY + 3 }, { do: 'delete', by: 0, which: EXACTLY + 2 },
  { do: 'block', by: 0, other: 1 },
  {
    do: 'send',
    by: 1,
    where: EXACTLY,
    text: 'zanzibar',
    over: 'rest',
    reply: null,
    mention: null,
    attach: false
  },
  {
    do: 'edit', by: 1, which: EXACTLY + 1, text: 'zanzibar'
  }, { do: 'react', by: 1, which: EXACTLY + 1, emoji: '👍' },
  { do: 'unblock', by: 0, other: 1 },
  {
    do: 'send', by: 0, where: EXACTLY, text: 'hello', over: 'rest', reply: null, mention: null, attach: false
  },
  { do: 'read', by: 0, which: EXACTLY + 5 }
]

/** The blocker reads what they said themselves above a hidden message. */
export const OWN_READ_ABOVE_HIDDEN: Action[] = [
  { do: 'createDirect', by: 0, other: 1 },
  { do: 'look', by: 0 }, { do: 'look', by: 1 },
  {
    do: 'send', by: 1, where: EXACTLY, text: 'hello', over: 'rest', reply: null, mention: null, attach: false
  },
  { do: 'block', by: 0, other: 1 },
  {
    do: 'send',
    by: 1,
    where: EXACTLY,
    text: 'zanzibar',
    over: 'rest',
    reply: null,
    mention: null,
    attach: false
  },
  {
    do: 'send',
    by: 0,
    where: EXACTLY,
    text: 'see you',
    over: 'rest',
    reply: null,
    mention: null,
    attach: false
  },
  { do: 'read', by: 0, which: EXACTLY }, { do: 'read', by: 0, which: EXACTLY + 2 }
]

const say = (by: number, conversation: number): Action => ({
  do: 'send',
  by,
  where: EXACTLY + conversation,
  text: 'hello',
  over: 'rest',
  reply: null,
  mention: null,
  attach: false
})

/** A group becomes large, small and large again, while its participants write, read and come and go. */
export const ACROSS_THE_THRESHOLD: Action[] = [
  { do: 'createCrowd', by: 0, others: [1], text: 'hello' },
  { do: 'look', by: 0 }, { do: 'look', by: 1 },
  say(0, 0), say(1, 0),
  { do: 'add', by: 0, where: EXACTLY, other: 2 },
  { do: 'look', by: 0 }, { do: 'look', by: 1 }, { do: 'look', by: 2 },
  say(0, 0), say(2, 0),
  { do: 'read', by: 1, which: EXACTLY + 3 },
  { do: 'acknowledge', by: 2, back: 0 },
  { do: 'rename', by: 1, text: 'see you' },
  { do: 'retitle', by: 0, where: EXACTLY, text: 'fine 🙂' },
  { do: 'mute', by: 2, where: EXACTLY, muted: true },
  { do: 'allow', by: 0, where: EXACTLY, other: 1, role: 'admin', can_send_messages: undefined },
  { do: 'add', by: 0, where: EXACTLY, other: 3 },
  { do: 'remove', by: 1, where: EXACTLY, other: 2 },
  { do: 'look', by: 1 }, { do: 'look', by: 3 },
  say(3, 0),
  { do: 'leave', by: 3, where: EXACTLY },
  { do: 'look', by: 0 },
  say(1, 0),
  { do: 'read', by: 0, which: EXACTLY + 5 },
  { do: 'add', by: 1, where: EXACTLY, other: 3 },
  { do: 'leave', by: 0, where: EXACTLY },
  say(1, 0)
]

/** Two leave a group and come back, one of them after reading; the sender looks in between. */
export const LEFT_AND_BACK: Action[] = [
  { do: 'createGroup', by: 0, others: [1, 2], text: 'hello' },
  { do: 'look', by: 0 }, { do: 'look', by: 1 }, { do: 'look', by: 2 },
  say(0, 0),
  { do: 'read', by: 1, which: EXACTLY }, { do: 'read', by: 2, which: EXACTLY },
  { do: 'look', by: 0 },
  { do: 'leave', by: 1, where: EXACTLY },
  { do: 'edit', by: 0, which: EXACTLY, text: 'see you' },
  say(0, 0),
  { do: 'add', by: 0, where: EXACTLY, other: 0 },
  { do: 'look', by: 0 }, { do: 'look', by: 1 },
  say(0, 0),
  { do: 'remove', by: 0, where: EXACTLY, other: 2 },
  { do: 'react', by: 1, which: EXACTLY + 2, emoji: '👍' },
  { do: 'add', by: 0, where: EXACTLY, other: 0 },
  { do: 'acknowledge', by: 2, back: 0 }, { do: 'acknowledge', by: 1, back: 0 },
  say(2, 0),
  { do: 'read', by: 1, which: EXACTLY + 3 }
]
