/**
 * The server's own OpenAPI document as a judge: every answer a test receives must be one that
 * its operation documents, with a body of the documented shape and no field besides.
 */
import { Compile } from 'typebox/compile'

type Json = any

export interface Operation {
  /** As the table of rows names it: `POST /messages`, without the prefix of the API. */
  name: string
  method: string
  /** With the prefix, parameters in braces. */
  path: string
  behindToken: boolean
  spec: Json
}

/** `path` is what was asked for; `body` what was answered, parsed when it is JSON. */
export interface JudgedAnswer {
  method: string
  path: string
  status: number
  mediaType: string | undefined
  body: unknown
}

export interface Contract {
  document: Json
  operations: Operation[]
  /** Throws an Error that says what of the answer is not documented. */
  judge (answer: JudgedAnswer): void
  /** The problem codes of an operation with their statuses. */
  codesOf (operation: Operation): Map<string, number>
}

const PREFIX = '/api/v1'
const PROBLEM = 'application/problem+json'

export function readContract (document: Json): Contract {
  const operations = Object.entries<Json>(document.paths).flatMap(([path, methods]) =>
    Object.entries<Json>(methods).map(([method, spec]): Operation => ({
      name:
        `${method.toUpperCase()} ${path.replace(PREFIX, '')}`,
      method: method.toUpperCase(),
      path,
      behindToken: spec.security?.length > 0,
      spec
    })))
  // As in the server's router: fixed segments win over parameters, and a parameter at the end may be empty.
  const routes = operations
    .map(operation => ({ operation, pattern: new RegExp(`^${operation.path.replaceAll(/\{[^}]+\}$/g, '[^/]*').replaceAll(/\{[^}]+\}/g, '[^/]+')}$`) }))
    .sort((a, b) => parameters(a.operation) - parameters(b.operation))
  const checkers = new Map<object, ReturnType<typeof Compile>>()

  function findOperation (method: string, path: string): Operation | undefined {
    const find = (wanted: string) =>
      routes.find(({ operation, pattern }) => operation.method === wanted && pattern.test(path))?.operation
    return find(method) ?? (method === 'HEAD' ? find('GET') : undefined)
  }

  function check (schema: object, body: unknown, what: string): void {
    let checker = checkers.get(schema)
    if (checker === undefined) checkers.set(schema, checker = Compile(closed(schema, document)))
    if (!checker.Check(body)) {
      throw new Error(
        `${what} is not what the document says: ${JSON.stringify(checker.Errors(body).slice(0, 8))}\n${JSON.stringify(body).slice(0, 2_000)}`
      )
    }
  }

  return {
    document,
    operations,
    judge ({ method, path, status, mediaType, body }) {
      const pathOnly = path.split('?')[0]!
      if (pathOnly.startsWith('/docs')) return
      const what = `${method} ${pathOnly} -> ${status}`
      const operation = findOperation(method, pathOnly)
      if (operation === undefined) {
        // What is refused before the router has looked.
        if (![404, 405, 415, 429].includes(status)) {
          throw new Error(`${what}: no operation of the document has this path`)
        }
        check(document.components.schemas.Problem, body, what)
        return
      }
      const documented = operation.spec.responses[status]
      if (documented === undefined) {
        throw new Error(
        `${what}: ${operation.name} documents no ${status}; the answer was ${JSON.stringify(body)?.slice(0, 500)}`
        )
      }
      if (method === 'HEAD') return
      if (documented.content === undefined) {
        if (body !== undefined) {
          throw new Error(
          `${what} has a body, and the document says there is none: ${JSON.stringify(body).slice(0, 500)}`
          )
        }
        return
      }
      const media = mediaOf(documented.content, mediaType)
      if (media === undefined) {
        throw new Error(
        `${what} is ${mediaType}, and the document says ${Object.keys(documented.content).join(', ')}`
        )
      }
      if (media.schema.format !== 'binary' && /json$/.test(mediaType ?? '')) check(media.schema, body, what)
    },
    codesOf (operation) {
      return new Map(Object.entries<Json>(operation.spec.responses).flatMap(([status, { content }]) =>
        (content?.[PROBLEM]?.schema.allOf[1].properties.code.enum ?? []).map((code: string) =>
          [code, Number(status)])))
    }
  }
}

const parameters = ({ path }: Operation): number => path.split('{').length

/** `*` stands for any type, as in `image/*`. */
function mediaOf (content: Json, mediaType = ''): Json {
  const [kind] = mediaType.split('/')
  return content[mediaType] ?? content[`${kind}/*`] ?? content['*/*']
}

/** The schema with its references replaced, closed except where it says that it is open. */
export function closed (node: Json, document: Json): Json {
  if (Array.isArray(node)) return node.map(item => closed(item, document))
  if (typeof node !== 'object' || node === null) return node
  if (node.$ref !== undefined) {
    return closed(
      node.$ref.slice(2).split('/').reduce((target: Json, key: string) => target[key], document), document
    )
  }
  if (node.allOf !== undefined) {
    return closed(merged(node.allOf.map((part: Json) => closed(part, document))), document)
  }
  const copy = Object.fromEntries(Object.entries(node).map(([key, value]) => [key, closed(value, document)]))
  return node.type === 'object' && node.properties !== undefined
    ? { additionalProperties: false, ...copy }
    : copy
}

/** All parts as one object schema: closing each of them would exclude the fields of the others. */
const merged = (parts: Json[]): Json => ({
  type: 'object',
  properties: parts.reduce((all, { properties }) => {
    for (const [name, schema] of Object.entries<Json>(properties ?? {})) {
      all[name] = { ...all[name], ...schema }
    }
    return all
  }, {}),
  required: parts.flatMap(({ required }) => required ?? [])
})
