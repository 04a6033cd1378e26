/** Checks the parts of a request against their schemas, with the validator that MQTT commands use. */
import { type FastifySchemaCompiler } from 'fastify'
import { type TSchema } from 'typebox'
import { Compile } from 'typebox/compile'
import { Value } from 'typebox/value'

/**
 * Numbers and booleans in paths, queries and headers arrive as text and are converted. Only what does not fit
 * as it came is: a conversion walks the whole part, and most fit.
 */
export const compileValidator: FastifySchemaCompiler<TSchema> = ({ schema, httpPart }) => {
  const checker = Compile(schema)
  return value => {
    if (checker.Check(value)) return { value }
    const converted = httpPart === 'body' ? value : Value.Convert(schema, value)
    return httpPart !== 'body' && checker.Check(converted)
      ? { value: converted }
      : { error: checker.Errors(converted) as never }
  }
}
