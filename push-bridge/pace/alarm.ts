/** A wait that can be cut short. A ring that comes while no wait is under way ends the next one at once. */

export interface Alarm {
  ring (): void
  /** Whether it was cut short. */
  wait (ms: number): Promise<boolean>
}

export function createAlarm (): Alarm {
  let rung = false
  let stop: (() => void) | undefined
  return {
    ring () {
      rung = true
      stop?.()
    },
    async wait (ms) {
      if (!rung) {
        await new Promise<void>(resolve => {
          const timer = setTimeout(resolve, ms)
          stop = () => { clearTimeout(timer); resolve() }
        })
      }
      stop = undefined
      const was = rung
      rung = false
      return was
    }
  }
}
