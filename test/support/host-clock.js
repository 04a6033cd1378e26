/**
 * Loaded before a program: the process sees its host's clock as wrong by HOST_CLOCK_MS from the start, and
 * by HOST_CLOCK_STEP_MS more after each SIGUSR2. Timers and the monotonic clock go on as they are, as
 * they do when an operator sets a clock.
 */
const RealDate = Date
let shiftMs = Number(process.env.HOST_CLOCK_MS ?? 0)
const stepMs = Number(process.env.HOST_CLOCK_STEP_MS ?? 0)

class ShiftedDate extends RealDate {
  constructor (...args) {
    if (args.length === 0) super(ShiftedDate.now())
    else super(...args)
  }

  static now () { return RealDate.now() + shiftMs }
}

globalThis.Date = ShiftedDate
process.on('SIGUSR2', () => {
  shiftMs += stepMs
  process.stdout.write(`the host's clock is wrong by ${shiftMs} ms\n`)
})
