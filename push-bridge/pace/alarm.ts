/** A wait that can be cut short. A ring that comes while no wait is under way ends the next one at once. */

export interface Alarm {
  ring (): void
  wait (ms: number): Promise<void>
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
      rung = false
    }
  }
}
