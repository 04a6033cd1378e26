/** Milliseconds, rounded to what a table shows. Undefined without a value. */
export function quantile (values: number[], share: number): number | undefined {
  const sorted = values.toSorted((a, b) => a - b)
  return rounded(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))])
}

/** Three significant digits, or all digits before the point. */
export function rounded (value: number | undefined): number | undefined {
  if (value === undefined || !Number.isFinite(value)) return undefined
  return Math.abs(value) >= 100 ? Math.round(value) : Number(value.toPrecision(3))
}
