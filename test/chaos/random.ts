/**
 * Chance that a seed repeats. Every part draws from a stream of its own, so none disturbs another's
 * sequence.
 */
export interface Random {
  between (min: number, max: number): number
  /** True with this probability. */
  chance (probability: number): boolean
  pick<T> (items: readonly T[]): T
  shuffle<T> (items: readonly T[]): T[]
  stream (name: string): Random
}

export function seededRandom (seed: string): Random {
  const next = mulberry32(hash(seed))
  const index = (length: number): number => Math.floor(next() * length)
  const random: Random = {
    between: (min, max) => min + next() * (max - min),
    chance: probability => next() < probability,
    pick: items => items[index(items.length)]!,
    shuffle (items) {
      const shuffled = [...items]
      for (let i = shuffled.length - 1; i > 0; i--) {
        const j = index(i + 1)
        ;[shuffled[i], shuffled[j]] = [shuffled[j]!, shuffled[i]!]
      }
      return shuffled
    },
    stream: name => seededRandom(`${seed}/${name}`)
  }
  return random
}

// FNV-1a
function hash (text: string): number {
  let value = 0x811C9DC5
  for (const byte of Buffer.from(text)) value = Math.imul(value ^ byte, 0x01000193)
  return value >>> 0
}

// Tommy Ettinger's generator: 32 bits of state, good enough to choose who falls next.
function mulberry32 (seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6D2B79F5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 0x1_0000_0000
  }
}
