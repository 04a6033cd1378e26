/**
 * A user of some years, whom a new device shows 1,000 conversations: most with one person, some groups. The
 * same rows every time, with ids, times and texts as hard to compress as real ones.
 */
import { createHash } from 'node:crypto'
import { runSql } from '../../support/database.ts'

export const CONVERSATIONS = 1_000
export const READER = 'c94f2a1e-7d35-4b8e-9f60-2b7a1d53e8c4'

const NAMES = `Ada Ben Carla David Elif Finn Greta Hugo Ines Jonas Katja Lena Marco Nadia Oskar Paula
  Quirin Rosa Sami Tara Umut Vera Wiebke Xenia Yusuf Zoe Aisha Bruno Chiara Dilan Emil Fatma Georg Hanna
  Ivan Julia Kemal Lukas Mara Nils`.split(/\s+/)
const SURNAMES = `Albers Brandt Conti Demir Ehlers Fischer Gruber Hansen Ivanov Jensen Keller Lopez
  Meyer Novak Olsen Petrov Quast Rossi Schmidt Tanaka Ullrich Vogel Wagner Xu Yilmaz Ziegler`.split(/\s+/)
const TITLES = `Climbing on Thursdays|Flat hunt|Maths 2b|The old band|House meeting|Lisbon in May|Book
  club|Parents of class 3a|Choir|Office lunch|Garden plot 17|Road trip|Football, second team|Wedding of
  Mara and Nils|Night shift|Neighbours|Board games|Film on Sunday|Moving boxes|Running before
  work|Cousins|Chess|Thesis|Ward 4`
  .replace(/\s+/g, ' ').split('|')
const OPENINGS = `Are you coming on Saturday|I put the keys under the mat|The train is late again|Did
  you hear from Tara|We could meet at the station|She said yes!|I have no idea what to cook|Can somebody
  bring a ladder|The doctor says it is nothing|My phone died in the tunnel|Thanks for yesterday|They
  moved the meeting to ten|Happy birthday!|The photos are wonderful|Just landed|He never answers|There
  is cake in the kitchen|I will be ten minutes late|No, the other one|Look at this|We are out of
  coffee|Please call me when you can|It rained the whole week|Found your scarf|The landlord wants to see
  us|That was the best concert in years|Same place as last time|I forgot the tickets|Let me ask my
  brother|The dog is fine|Page 43, third paragraph|You were right about the bicycle|Bring warm
  clothes|Nobody told me|The password is on the fridge|Sounds good|Half of it is paid already|I cannot
  open the file|Congratulations to both of you|What was the name of that restaurant`
  .replace(/\s+/g, ' ').split('|')
const ENDINGS = `|, and you?|, I think|. See you there|, if the weather holds| 😀|. Tell me tomorrow|,
  but do not wait for me|. It took me an hour to get through the traffic| 👍|, finally|. Should I order
  for six or for eight people?|. Love to everybody|, as usual|. The second one on the left, with the
  green door|, sorry!|. I owe you one|, more or less|. Talk later ❤️|. They close at seven, so hurry|.
  Mum sends her regards and asks about the summer`.replace(/\s+/g, ' ').split('|')

const hash = (seed: string): Buffer => createHash('md5').update(seed).digest()
const number = (seed: string, below: number): number => hash(seed).readUInt32BE(0) % below
const oneOf = (seed: string, all: string[]): string => all[number(seed, all.length)]!
const chance = (seed: string, percent: number): boolean => number(seed, 100) < percent
const time = (seed: string, from: string, days: number): Date =>
  new Date(Date.parse(from) + number(seed, days * 86_400) * 1_000 + number(`${seed} ms`, 1_000))

const hyphenated = (hex: string): string => hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-')
/** Version 4, as clients make them. */
const randomUuid = (seed: string): string =>
  hyphenated(hash(seed).toString('hex').replace(/^(.{12}).(.{3})./, '$14$2a'))
/** Version 7, as the server makes them. */
const timedUuid = (seed: string, at: Date): string =>
  hyphenated(at.getTime().toString(16).padStart(12, '0') +
    hash(seed).toString('hex').slice(12).replace(/^.(.{3})./, '7$1a'))

interface Row { conversation: unknown[], members: unknown[][], message: unknown[] }

function rowOf (n: number): Row {
  const of = (what: string): string => `${what} ${n}`
  const group = chance(of('group'), 15)
  const known = (i: number): number => number(`${of('member')} ${i}`, 1_500)
  const others = group ? Array.from({ length: 2 + number(of('size'), 8) }, (_, i) => known(i)) : [2_000 + n]
  const members = [READER, ...new Set(others.map(idOf))]
  const [began, latest] = [time(of('began'), '2025-01-01', 150), time(of('latest'), '2025-06-01', 40)]
  const id = timedUuid(of('conversation'), began)
  const end = 1 + number(of('end'), 800)
  const read = (who: string): number =>
    chance(`${of('read')} ${who}`, 70) ? end : Math.max(0, end - number(`${of('unread')} ${who}`, 10))
  return {
    conversation: [
      id, group ? 'group' : 'direct', group ? oneOf(of('title'), TITLES) : null, end, latest, members.length,
      began
    ],
    members: members.map((user, i) =>
      [id, user, group && i === 0 ? 'admin' : 'member', began, end, read(user)]),
    message: [
      timedUuid(of('message'), latest), id, end, oneOf(of('sender'), members),
      oneOf(of('opening'), OPENINGS) + oneOf(of('ending'), ENDINGS), randomUuid(of('client')), latest
    ]
  }
}

const idOf = (person: number): string => randomUuid(`person ${person}`)
const nameOf = (id: string): string => `${oneOf(`first ${id}`, NAMES)} ${oneOf(`last ${id}`, SURNAMES)}`

export async function fill (url: string): Promise<void> {
  const rows = Array.from({ length: CONVERSATIONS }, (_, n) => rowOf(n))
  const members = rows.flatMap(row => row.members)
  const ids = [...new Set(members.map(([, id]) => id as string))]
  await insert(url, 'users (id, name)', ids.map(id => [id, nameOf(id)]))
  await insert(url, `conversations
    (id, type, title, last_seq, last_activity_at, participant_count, created_at)`,
  rows.map(row => row.conversation))
  await insert(url, `conversation_participants
    (conversation_id, user_id, role, joined_at, last_delivered_seq, last_read_seq, joined_seq)`,
  members.map(member => [...member, 0]))
  await insert(url, `messages
    (id, conversation_id, seq, sender_user_id, content, client_message_id, created_at, message_type)`,
  rows.map(row => [...row.message, 'text']))
}

const insert = (url: string, into: string, rows: unknown[][]): Promise<void> =>
  runSql(url, `insert into ${into} values ${rows.map(row => `(${row.map(literal).join()})`).join()}`)

function literal (value: unknown): string {
  if (value === null) return 'null'
  if (typeof value === 'number') return String(value)
  return `'${value instanceof Date ? value.toISOString() : String(value).replaceAll("'", "''")}'`
}
