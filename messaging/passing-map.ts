/**
 * A Map for what comes and goes: what is deleted is garbage at once.
 *
 * V8 keeps a Map in a table and puts a new one in its place when tombstones fill it, or when most entries
 * are gone. The old table refers to the new one, for iterators that are under way (`OrderedHashTable::Rehash`
 * in V8). Once such a table lies among the old objects, every later one looks alive to young collections,
 * with all that was in it, until the next full collection. Here a new Map takes the place of one that has
 * lost more entries than it holds.
 *
 * A loop over it may delete; it may miss what is set meanwhile.
 */
export class PassingMap<K, V> implements Iterable<[K, V]> {
  #map = new Map<K, V>()
  #deleted = 0

  get size (): number { return this.#map.size }

  get (key: K): V | undefined { return this.#map.get(key) }

  has (key: K): boolean { return this.#map.has(key) }

  set (key: K, value: V): void {
    if (this.#deleted > this.#map.size) {
      this.#map = new Map(this.#map)
      this.#deleted = 0
    }
    this.#map.set(key, value)
  }

  delete (key: K): void {
    if (this.#map.delete(key)) this.#deleted++
  }

  values (): IterableIterator<V> { return this.#map.values() }

  [Symbol.iterator] (): IterableIterator<[K, V]> { return this.#map[Symbol.iterator]() }
}
