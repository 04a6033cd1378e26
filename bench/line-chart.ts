/** A line chart as SVG text: x grows by powers, y from zero. Readable on light and dark pages. */

export interface Series { label: string, points: Array<{ x: number, y: number }> }

export interface Chart { title: string, x: string, y: string, series: Series[] }

const [WIDTH, HEIGHT] = [680, 360]
const [LEFT, RIGHT, TOP, BOTTOM] = [70, 210, 44, 52]
const COLORS = ['#2563eb', '#dc2626', '#059669', '#d97706', '#7c3aed', '#0891b2']
const Y_STEPS = 5

export function lineChart ({ title, x, y, series }: Chart): string {
  const xs = [...new Set(series.flatMap(it => it.points.map(point => point.x)))].toSorted((a, b) => a - b)
  const top = roundUp(Math.max(...series.flatMap(it => it.points.map(point => point.y))))
  // Nought has no place on a scale of powers: it goes one power before the smallest.
  const smallest = xs.find(value => value > 0)!
  const place = (value: number): number => Math.log10(value > 0 ? value : smallest / 10)
  const [from, to] = [place(xs[0]!), place(xs.at(-1)!)]
  const left = (value: number): number =>
    round(LEFT + (place(value) - from) / (to - from) * (WIDTH - LEFT - RIGHT))
  const up = (value: number): number => round(HEIGHT - BOTTOM - value / top * (HEIGHT - TOP - BOTTOM))

  const grid = Array.from({ length: Y_STEPS + 1 }, (_, i) => top / Y_STEPS * i).map(value => `
  <path d="M${LEFT} ${up(value)}H${WIDTH - RIGHT}" stroke="#94a3b8" stroke-opacity="0.35"/>
  ${text(LEFT - 8, up(value) + 4, short(value), 'end')}`)
  const ticks = xs.map(value => `
  <path d="M${left(value)} ${HEIGHT - BOTTOM}v5" stroke="#94a3b8"/>
  ${text(left(value), HEIGHT - BOTTOM + 20, short(value), 'middle')}`)
  const lines = series.map(({ label, points }, i) => {
    const color = COLORS[i % COLORS.length]!
    const dots = points.map(point =>
      `<circle cx="${left(point.x)}" cy="${up(point.y)}" r="3" fill="${color}"/>`)
    return `
  <polyline fill="none" stroke="${color}" stroke-width="2" points="${points.map(point =>
    `${left(point.x)},${up(point.y)}`).join(' ')}"/>
  ${dots.join('')}
  <path d="M${WIDTH - RIGHT + 12} ${TOP + 20 * i}h14" stroke="${color}" stroke-width="3"/>
  ${text(WIDTH - RIGHT + 32, TOP + 4 + 20 * i, label, 'start')}`
  })
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" width="${WIDTH}"
  height="${HEIGHT}" font-family="system-ui, sans-serif" font-size="12" fill="#64748b" role="img">
  <title>${escaped(title)}</title>
  <text x="${LEFT}" y="22" font-size="15" font-weight="600">${escaped(title)}</text>
  ${text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 10, x, 'middle')}
  <g transform="translate(16 ${(TOP + HEIGHT - BOTTOM) / 2}) rotate(-90)">${text(0, 0, y, 'middle')}</g>
${[...grid, ...ticks, ...lines].join('').slice(1)}
</svg>
`
}

const text = (x: number, y: number, value: string, anchor: string): string =>
  `<text x="${x}" y="${y}" text-anchor="${anchor}">${escaped(value)}</text>`

const escaped = (value: string): string =>
  value.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')

const round = (value: number): number => Math.round(value * 10) / 10

/** 1, 2, 2.5 or 5 times a power of ten. */
function roundUp (value: number): number {
  if (value <= 0) return 1
  const power = 10 ** Math.floor(Math.log10(value))
  return [1, 2, 2.5, 5, 10].map(step => step * power).find(step => step >= value)!
}

function short (value: number): string {
  if (value >= 1e6) return `${round(value / 1e6)}M`
  if (value >= 1e4) return `${round(value / 1e3)}k`
  return value >= 10 ? String(Math.round(value)) : String(Number(value.toPrecision(2)))
}
