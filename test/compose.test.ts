/** docker-compose.yml cannot run here; that it says what the code understands can be checked. */
import { readFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { parse } from 'yaml'
import { loadConfig } from '../config.ts'
import { STOP_WITHIN_MS } from '../lifecycle.ts'

const compose = parse((await readFile('docker-compose.yml', 'utf8')).replaceAll(
  /\$\{JWT_SECRET:[^}]*\}/g, 's'.repeat(32)
), { merge: true })
const balancer = await readFile('deploy/haproxy.cfg', 'utf8')
const ours = Object.entries<any>(compose.services).filter(([name, { image }]) => image === 'echo' &&
  name !== 'migrate')

test('every process starts with the roles and variables it is given', () => {
  const roles = ours.map(([, { command, environment }]) => {
    const config = loadConfig(environment, command)
    expect(config.warnings.filter(warning => !warning.startsWith('attachments'))).toEqual([
      'HOST=0.0.0.0: MQTT, HTTP and gRPC are reachable from outside without TLS'
    ])
    expect([config.trustProxy, config.proxyProtocol]).toEqual([true, true])
    return [...config.roles].join()
  })
  expect(roles.sort()).toEqual(['api', 'api', 'broker', 'broker', 'push-bridge'])
})

test('the apis share the folder of their attachments', () => {
  const apis = ours.filter(([, { command }]) => command.includes('api'))
  for (const [name, { volumes }] of apis) expect(volumes, name).toEqual(['files:/data'])
  expect(Object.keys(compose.volumes)).toContain('files')
})

test('the load balancer knows the processes that clients reach, and no others', () => {
  const servers = new Set([...balancer.matchAll(/^ {2}server \S+ ([\w-]+):\d+/gm)].map(([, host]) => host))
  expect([...servers].sort()).toEqual(ours.map(([name]) => name).filter(name => !name.startsWith('push'))
    .sort())
  expect(compose.services.balancer.depends_on.sort()).toEqual([...servers].sort())
  // Brokers drop what begins without the header that the other side does not send, and the other way round.
  for (const [line] of balancer.matchAll(/server .*:1883 .*/g)) expect(line).toContain('send-proxy-v2')
})

test('metrics are not passed on to the outside', () => {
  const rest = balancer.slice(balancer.indexOf('frontend rest'), balancer.indexOf('backend apis'))
  expect(rest).toMatch(/^ {2}http-request deny if { path,url_dec -m beg -i \/metrics }$/m)
})

test('only the load balancer can be reached from outside', () => {
  for (const [name, { ports }] of Object.entries<any>(compose.services)) {
    expect(ports !== undefined, name).toBe(name === 'balancer')
  }
})

test('a process that stops is noticed before it closes, and has the time to close', () => {
  const [, inter, fall] = /check inter (\d+)s fall (\d+)/.exec(balancer)!
  for (const [name, { environment, stop_grace_period: grace }] of ours) {
    const { stopDelayMs } = loadConfig(environment)
    expect(Number(inter) * Number(fall) * 1_000, name).toBeLessThan(stopDelayMs)
    expect(parseInt(grace) * 1_000, name).toBeGreaterThan(stopDelayMs + STOP_WITHIN_MS)
  }
})
