/**
 * How the parts of a request are held against their schemas, by the validator that MQTT commands use.
 *
 * A query parameter that a route does not know is refused like an unknown field of a body: passed over, a
 * mistyped `cursor` would get the first page again.
 */
import { type FastifyInstance, type FastifySchemaCompiler } from 'fastify'
import { Type, type TSchema } from 'typebox'
import { Compile } from 'typebox/compile'

/** Paths, queries and headers are text: a number is one when it is written in digits, as JSON has it. */
const DIGITS = /^-?\d{1,16}$/

export const compileValidator: FastifySchemaCompiler<TSchema> = ({ schema, httpPart }) => {
  const checker = Compile(schema)
  const integers = httpPart === 'body' ? [] : integersOf(schema)
  return value => {
    const given = withNumbers(value as Record<string, unknown>, integers)
    return checker.Check(given) ? { value: given } : { error: checker.Errors(given) as never }
  }
}

function integersOf (schema: TSchema): string[] {
  const { properties = {} } = schema as { properties?: Record<string, { type?: string }> }
  return Object.entries(properties).flatMap(([name, { type }]) => type === 'integer' ? [name] : [])
}

function withNumbers (values: Record<string, unknown>, integers: string[]): Record<string, unknown> {
  const numbers = integers.flatMap(name => {
    const text = values[name]
    return typeof text === 'string' && DIGITS.test(text) ? [[name, Number(text)] as const] : []
  })
  return numbers.length === 0 ? values : { ...values, ...Object.fromEntries(numbers) }
}

/** For all routes of `app` that are registered from here on. */
export function refuseUnknownParameters (app: Pick<FastifyInstance, 'addHook'>): void {
  app.addHook('onRoute', route => {
    const querystring = route.schema?.querystring ?? Type.Object({})
    route.schema = { ...route.schema, querystring: { ...querystring, additionalProperties: false } }
  })
}
