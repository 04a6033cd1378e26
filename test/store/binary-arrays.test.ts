/** What goes to PostgreSQL in binary comes back as it would if it had gone as text. */
import fc from 'fast-check'
import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { binaryArray, type Elements, type ElementType } from '../../store/binary-arrays.ts'
import { createDatabase, type TestDatabase } from '../support/database.ts'

let server: TestDatabase
let client: pg.Client

beforeAll(async () => {
  server = await createDatabase()
  client = new pg.Client({ connectionString: server.url })
  await client.connect()
})
afterAll(async () => {
  await client.end()
  await server[Symbol.asyncDispose]()
})

type Value = Elements[ElementType] | null
const arrayOf = (type: ElementType, values: Value[]): Buffer => binaryArray(type, values, value => value)

/** PostgreSQL's words for the array, sent in binary and as text. */
async function bothWays (type: ElementType, values: Value[]): Promise<unknown[]> {
  const { rows: [row] } = await client.query(
    `select $1::${type}[]::text as binary, $2::${type}[]::text as text`,
    [arrayOf(type, values), values]
  )
  return [row.binary, row.text]
}

const text = fc.string({ unit: 'binary', maxLength: 200 }).map(text => text.replaceAll('\0', ''))
const VALUES: Record<ElementType, fc.Arbitrary<Value>> = {
  text,
  jsonb: fc.oneof(fc.dictionary(text, text), fc.array(fc.integer())).map(value => JSON.stringify(value))
    .filter(json => !json.includes('\\u0000')),
  uuid: fc.tuple(fc.uuid(), fc.boolean()).map(([uuid, upper]) => upper ? uuid.toUpperCase() : uuid),
  bigint: fc.maxSafeInteger(),
  int: fc.integer(),
  timestamptz: fc.date({ min: new Date('0001-01-01'), max: new Date('9999-01-01'), noInvalidDate: true }),
  boolean: fc.boolean()
}

test.each(Object.keys(VALUES) as ElementType[])('%s', async type => {
  await fc.assert(fc.asyncProperty(fc.array(fc.option(VALUES[type]), { maxLength: 50 }), async values => {
    const [binary, text] = await bothWays(type, values)
    expect(binary).toBe(text)
  }), { numRuns: 200 })
})

test.each<[ElementType, Value[]]>([
  ['bigint', [Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER, -1, 0, 2 ** 32, 2 ** 31]],
  ['int', [2 ** 31 - 1, -(2 ** 31)]],
  ['timestamptz', [new Date(0), new Date('1999-12-31T23:59:59.999Z')]],
  ['text', ['', 'é'.repeat(64), '😀'.repeat(200_000), 'a'.repeat(300_000), 'last']],
  ['text', ['after a large one']]
])('the limits of %s', async (type, values) => {
  const [binary, text] = await bothWays(type, values)
  expect(binary).toBe(text)
})

test.each<[ElementType, Value]>([
  ['uuid', ''],
  ['uuid', '0193f0a0-0000-7000-8000-00000000000'],
  ['uuid', '0193f0a0-0000-7000-8000-0000000000000'],
  ['uuid', '0193f0a0_0000-7000-8000-000000000000'],
  ['uuid', '0193f0a0-0000-7000-8000-00000000000g'],
  ['uuid', 'g193f0a0-0000-7000-8000-000000000000'],
  ['uuid', '\u00b0193f0a0-0000-7000-8000-000000000000'],
  ['uuid', '0193f0a0-0000-7000-8000-0000000000\u0130\u0130'],
  ['bigint', 2 ** 53],
  ['bigint', 0.5],
  ['bigint', NaN],
  ['int', 2 ** 31],
  ['int', 1.5],
  ['timestamptz', new Date(NaN)]
])('as %s nothing is sent for %j', (type, value) => {
  expect(() => arrayOf(type, [value])).toThrow(RangeError)
})

test('what does not fit is refused by PostgreSQL as it is in text', async () => {
  for (const [type, value, code] of [['text', 'a\0b', '22021'], ['jsonb', '{', '22P02']] as const) {
    await expect(client.query(`select $1::${type}[]`, [arrayOf(type, [value])]), type)
      .rejects.toMatchObject({ code })
  }
})
