/** Says in one sentence what a schema check found wrong, for problem details and rejections. */

/** The fields of a schema error that every door's validator has. */
export interface SchemaError {
  keyword: string
  instancePath: string
  message?: string
  params?: unknown
}

const MAX_NAMED = 5
const MAX_NAME_LENGTH = 64

export function describeErrors (errors: SchemaError[], root: string): string {
  // An unknown property is reported twice; the second report names it.
  const telling = errors.filter(error => error.keyword !== 'boolean')
  return telling.slice(0, MAX_NAMED).map(error => describe(error, root)).join('; ')
}

function describe ({ keyword, instancePath, message, params }: SchemaError, root: string): string {
  const place = [root, ...instancePath.split('/').slice(1)].join('.')
  const unknown = (params as { additionalProperties?: string[] } | undefined)?.additionalProperties
  if (keyword === 'additionalProperties' && unknown !== undefined) {
    const names = [unknown].flat()
    const shown = names.slice(0, MAX_NAMED).map(name => name.slice(0, MAX_NAME_LENGTH)).join(', ')
    const more = names.length > MAX_NAMED ? `, and ${names.length - MAX_NAMED} more` : ''
    return `${place} has unknown fields: ${shown}${more}`
  }
  return `${place} ${message ?? 'is invalid'}`
}
