/** Examples of the OpenAPI document's bodies and answers, put together from the examples of their fields. */
type Json = any

/** Adds an example to every JSON body and answer that has none. */
export function withExamples (document: Json): Json {
  for (const path of Object.values<Json>(document.paths)) {
    for (const { requestBody, responses } of Object.values<Json>(path)) {
      for (const { content } of [requestBody ?? {}, ...Object.values<Json>(responses)]) {
        const media = content?.['application/json']
        if (media?.schema === undefined || media.example !== undefined || media.examples !== undefined) {
          continue
        }
        media.example = exampleOf(media.schema, document)
      }
    }
  }
  return document
}

/** The first example of a schema, or one made of the examples of its parts; lists have one entry. */
function exampleOf (schema: Json, document: Json): Json {
  if (schema.$ref !== undefined) return exampleOf(follow(schema.$ref, document), document)
  if (schema.examples !== undefined) return schema.examples[0]
  if (schema.example !== undefined) return schema.example
  if (schema.const !== undefined) return schema.const
  if (schema.default !== undefined) return schema.default
  if (schema.enum !== undefined) return schema.enum[0]
  const choices = schema.anyOf ?? schema.oneOf
  if (choices !== undefined) return exampleOf(choices[0], document)
  switch (schema.type) {
    case 'object': return exampleObject(schema, document)
    case 'array': return [exampleOf(schema.items, document)]
    case 'integer': case 'number': return schema.minimum ?? 1
    case 'boolean': return true
    case 'string': return 'text'
    default: return null
  }
}

function exampleObject ({ properties = {}, patternProperties = {} }: Json, document: Json): Json {
  const [record] = Object.values<Json>(patternProperties)
  if (record !== undefined) return { name: exampleOf(record, document) }
  return Object.fromEntries(Object.entries<Json>(properties)
    .map(([name, schema]) => [name, exampleOf(schema, document)]))
}

const follow = (reference: string, document: Json): Json =>
  reference.slice(2).split('/').reduce((node, key) => node[key], document)
