/** A small chart of the last minutes: lines over time, with the value of now in words. */

export interface Line {
  name: string
  /** The oldest first; undefined where nothing was measured. */
  values: Array<number | undefined>
}

const WIDTH = 240
const HEIGHT = 56
const KINDS = ['first', 'second', 'third']

export function Chart ({ title, lines, format, points }: {
  title: string, lines: Line[], format: (value: number) => string, points: number
}) {
  const top = Math.max(...lines.flatMap(({ values }) => values.map(value => value ?? 0)), 0)
  const now = lines.map(({ name, values }) => {
    const last = values.findLast(value => value !== undefined)
    return { name, text: last === undefined ? '–' : format(last) }
  })
  const spoken = now.map(({ name, text }) => `${name} ${text}`).join(', ')
  return (
    <figure class='chart'>
      <figcaption>{title}</figcaption>
      <p class='chart-now'>
        {now.map(({ name, text }, i) => (
          <span key={name} class={`line-${KINDS[i]}`}><b>{text}</b> {name}</span>
        ))}
      </p>
      <svg
        viewBox={`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio='none' role='img'
        aria-label={`${title}: ${spoken}; at most ${format(top)}`}
      >
        {lines.map(({ name, values }, i) => (
          <path key={name} class={`line-${KINDS[i]}`} d={pathOf(values, top, points)} />
        ))}
      </svg>
      <p class='chart-scale'><span>{Math.round(points * 2 / 60)} min</span><span>max {format(top)}</span></p>
    </figure>
  )
}

/** The newest value is at the right edge; a gap begins a new stroke. */
function pathOf (values: Line['values'], top: number, points: number): string {
  const step = WIDTH / (points - 1)
  let path = ''
  let pen = 'M'
  values.forEach((value, i) => {
    if (value === undefined) {
      pen = 'M'
      return
    }
    const x = WIDTH - (values.length - 1 - i) * step
    const y = HEIGHT - 2 - (top === 0 ? 0 : value / top * (HEIGHT - 4))
    path += `${pen}${x.toFixed(1)} ${y.toFixed(1)}`
    pen = 'L'
  })
  return path
}
