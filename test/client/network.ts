/**
 * What lies between one device and its server: two TCP proxies that can be cut, on the way so
 * that answers are lost, and kept cut.
 */
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net'

export interface Network extends AsyncDisposable {
  /** In the place of the server's. */
  api: string
  mqttPort: number
  /** Ends all connections; new ones may come. What the server has said last may be lost. */
  cut (loseAnswers?: boolean): void
  /** No connection any more. */
  end (): void
}

interface Line { near: Socket, far: Socket, losing: boolean }

export async function startNetwork ({ api, mqttPort }: { api: string, mqttPort: number }): Promise<Network> {
  const lines = new Set<Line>()
  let ended = false

  async function proxy (port: number): Promise<Server> {
    const server = createServer(near => {
      if (ended) return near.destroy()
      const far = connect({ host: '127.0.0.1', port })
      const line: Line = { near, far, losing: false }
      lines.add(line)
      near.on('data', data => { far.write(data) })
      far.on('data', data => { if (!line.losing) near.write(data) })
      for (const socket of [near, far]) {
        socket.on('error', () => {})
        socket.on('close', () => {
          lines.delete(line)
          near.destroy()
          far.destroy()
        })
      }
    })
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
    return server
  }

  const rest = await proxy(Number(new URL(api).port))
  const mqtt = await proxy(mqttPort)
  const portOf = (server: Server): number => (server.address() as AddressInfo).port
  const destroy = (line: Line): void => {
    line.near.destroy()
    line.far.destroy()
  }

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
        // Long enough for a command to be decided, and its answer lost.
        if (loseAnswers) setTimeout(() => destroy(line), 20)
        else destroy(line)
      }
    },
    async [Symbol.asyncDispose] () {
      end()
      await Promise.all([rest, mqtt].map(server => new Promise(resolve => server.close(resolve))))
    }
  }
}
