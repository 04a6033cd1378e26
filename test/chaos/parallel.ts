/** Runs `work` for every item, at most `width` at a time. */
export async function inParallel<T> (
  width: number, items: readonly T[], work: (item: T) => Promise<void>
): Promise<void> {
  const waiting = items.values()
  await Promise.all(Array.from({ length: width }, async () => {
    for (const item of waiting) await work(item)
  }))
}
