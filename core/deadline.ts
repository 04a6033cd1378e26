/**
 * Waits for `work`, but no longer than `ms`: resolves to its value, or to undefined when the time
 * is over first. Rejects when `work` does in time; late work goes on, and its failure is ignored.
 */
export async function withinMs<T> (ms: number, work: Promise<T>): Promise<T | undefined> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<undefined>(resolve => { timer = setTimeout(resolve, ms, undefined) })
  try {
    return await Promise.race([work, late])
  } finally {
    clearTimeout(timer)
  }
}
