/** Pages of a list: how many entries they have, and whether another page follows. */
import { Type } from 'typebox'

export const DEFAULT_PAGE = 50
const MAX_PAGE = 200

/** The query parameter that says how many entries a page has; absent, it has `fallback`. */
export const pageLimit = (fallback = DEFAULT_PAGE, maximum = MAX_PAGE) =>
  Type.Optional(Type.Integer({ minimum: 1, maximum, default: fallback }))

/** `found` was asked for with one more than `limit`: that one says that another page follows. */
export const pageOf = <T>(found: T[], limit: number): { page: T[], more: boolean } =>
  ({ page: found.slice(0, limit), more: found.length > limit })
