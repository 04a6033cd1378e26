/**
 * What lies between one device and its server: two TCP proxies that can be cut, on the way so
 * that answers are lost, and kept cut.
 */
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

export type Door = 'rest' | 'mqtt'
/** Up is to the server. */
export type Direction = 'up' | 'down'

export interface Network extends AsyncDisposable {
  /** In the place of the server's. */
  api: string
  mqttPort: number
  /** Ends all connections; new ones may come. What the server has said last may be lost. */
  cut (loseAnswers?: boolean): void
  /** Ends the connection that carries so many more bytes, behind the last of them. */
  cutAfter (door: Door, direction: Direction, bytes: number): void
  /** What the server says arrives so much later. */
  lag (door: Door, ms: number): void
  /** Nothing comes through on the present connections, and neither end learns why until the next cut. */
  freeze (): void
  /** The device is gone, and the server does not learn it until the next cut. */
  abandon (): void
  /** No connection any more. */
  end (): void
  /** All connections end, and new ones are as good as ever. */
  heal (): void
}

interface Line {
  door: Door
  near: Socket
  far: Socket
  losing: boolean
  frozen: boolean
  /** Of what the server has said so far, in its order. */
  arrival: Promise<void>
}

interface Fuse { door: Door, direction: Direction, bytes: number }

/** Long enough for a command to be decided, and its answer lost. */
const LOSING_MS = 20

export async function startNetwork ({ api, mqttPort }: { api: string, mqttPort: number }): Promise<Network> {
  const lines = new Set<Line>()
  const fuses = new Set<Fuse>()
  const lagMs = { rest: 0, mqtt: 0 }
  let ended = false

  async function proxy (door: Door, port: number): Promise<Server> {
    const server = createServer({ noDelay: true }, near => {
      if (ended) return near.destroy()
      const far = connect({ host: '127.0.0.1', port, noDelay: true })
      const line: Line = { door, near, far, losing: false, frozen: false, arrival: Promise.resolve() }
      lines.add(line)
      near.on('data', data => pass(line, 'up', data))
      far.on('data', data => {
        const due = performance.now() + lagMs[door]
        line.arrival = line.arrival.then(async () => {
          const ms = due - performance.now()
          if (ms > 0) await sleep(ms)
          pass(line, 'down', data)
        })
      })
      for (const socket of [near, far]) {
        socket.on('error', () => {})
        socket.on('close', () => { if (!line.frozen) destroy(line) })
      }
    })
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
    return server
  }

  function pass (line: Line, direction: Direction, data: Buffer): void {
    if (line.frozen || (line.losing && direction === 'down')) return
    const to = direction === 'up' ? line.far : line.near
    const fuse = [...fuses].find(({ door, direction: way }) => door === line.door && way === direction)
    if (fuse === undefined || fuse.bytes > data.length) {
      if (fuse !== undefined) fuse.bytes -= data.length
      to.write(data)
      return
    }
    fuses.delete(fuse)
    line.frozen = true
    to.write(data.subarray(0, fuse.bytes), () => destroy(line))
  }

  function destroy (line: Line): void {
    lines.delete(line)
    line.near.destroy()
    line.far.destroy()
  }

  const rest = await proxy('rest', Number(new URL(api).port))
  const mqtt = await proxy('mqtt', mqttPort)
  const portOf = (server: Server): number => (server.address() as AddressInfo).port

  const end = (): void => {
    ended = true
    for (const line of lines) destroy(line)
  }
  return {
    end,
    api: `http://127.0.0.1:${portOf(rest)}`,
    mqttPort: portOf(mqtt),
    cut (loseAnswers = false) {
      for (const line of lines) {
        line.losing = loseAnswers
        if (loseAnswers) setTimeout(() => destroy(line), LOSING_MS)
        else destroy(line)
      }
    },
    cutAfter (door, direction, bytes) { fuses.add({ door, direction, bytes }) },
    lag (door, ms) { lagMs[door] = ms },
    freeze () {
      for (const line of lines) {
        line.frozen = true
        // Not even the end of one side reaches the other.
        line.near.pause()
        line.far.pause()
      }
    },
    abandon () {
      for (const line of lines) {
        line.frozen = true
        line.near.destroy()
      }
    },
    heal () {
      ended = false
      fuses.clear()
      Object.assign(lagMs, { rest: 0, mqtt: 0 })
      for (const line of lines) destroy(line)
    },
    async [Symbol.asyncDispose] () {
      end()
      await Promise.all([rest, mqtt].map(server => new Promise(resolve => server.close(resolve))))
    }
  }
}
