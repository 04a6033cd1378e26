/**
 * Values by topic, or by filter, level by level [MQTT-4.7.1]. To find what matches costs what there is to
 * find, and not what is kept. An empty level is a level like any other [MQTT-4.7.3].
 */
interface Node<Value> { levels?: Map<string, Node<Value>>, value?: Value }

export class LevelTree<Value> {
  readonly #root: Node<Value> = {}

  get (path: string): Value | undefined {
    let node: Node<Value> | undefined = this.#root
    for (const level of path.split('/')) node = node?.levels?.get(level)
    return node?.value
  }

  set (path: string, value: Value): void {
    let node = this.#root
    for (const level of path.split('/')) {
      node.levels ??= new Map()
      let below = node.levels.get(level)
      if (below === undefined) node.levels.set(level, below = {})
      node = below
    }
    node.value = value
  }

  delete (path: string): void {
    const levels = path.split('/')
    const nodes = [this.#root]
    for (const level of levels) {
      const below = nodes.at(-1)!.levels?.get(level)
      if (below === undefined) return
      nodes.push(below)
    }
    nodes.at(-1)!.value = undefined
    for (let i = levels.length; i > 0; i--) {
      const { value, levels: below } = nodes[i]!
      if (value !== undefined || (below !== undefined && below.size > 0)) return
      nodes[i - 1]!.levels!.delete(levels[i - 1]!)
    }
  }

  /** Values of the filters that match the topic. */
  * ofFiltersFor (topic: string): Generator<Value> {
    yield * filtersFor(this.#root, topic.split('/'), 0)
  }

  /** Values of the topics that match the filter. */
  * ofTopicsFor (filter: string): Generator<Value> {
    yield * topicsFor(this.#root, filter.split('/'), 0)
  }
}

/** A leading wildcard matches nothing that begins with `$` [MQTT-4.7.2-1]. */
const isHidden = (level: string | undefined, depth: number): boolean => depth === 0 &&
  level?.startsWith('$') === true

function * filtersFor<Value> (node: Node<Value>, topic: string[], depth: number): Generator<Value> {
  const hidden = isHidden(topic[0], depth)
  const rest = node.levels?.get('#')
  if (rest?.value !== undefined && !hidden) yield rest.value
  if (depth === topic.length) {
    if (node.value !== undefined) yield node.value
    return
  }
  const same = node.levels?.get(topic[depth]!)
  if (same !== undefined) yield * filtersFor(same, topic, depth + 1)
  const any = node.levels?.get('+')
  if (any !== undefined && !hidden) yield * filtersFor(any, topic, depth + 1)
}

function * topicsFor<Value> (node: Node<Value>, filter: string[], depth: number): Generator<Value> {
  const level = filter[depth]
  if (level === undefined || level === '#') {
    if (node.value !== undefined) yield node.value
    if (level === undefined) return
  }
  if (level !== '#' && level !== '+') {
    const same = node.levels?.get(level)
    if (same !== undefined) yield * topicsFor(same, filter, depth + 1)
    return
  }
  for (const [name, below] of node.levels ?? []) {
    if (!isHidden(name, depth)) yield * topicsFor(below, filter, level === '#' ? depth : depth + 1)
  }
}
