/** Environment to Config. */
import { expect, test } from 'vitest'
import { ConfigError, loadConfig } from '../config.ts'

test('switches are on or off, in the usual words', () => {
  const words = { on: true, ON: true, true: true, 1: true, off: false, false: false, 0: false, '': false }
  for (const [word, value] of Object.entries(words)) {
    const config = loadConfig({ PROXY_PROTOCOL: word, TRUST_PROXY: word })
    expect([word, config.proxyProtocol, config.trustProxy]).toEqual([word, value, value])
  }
  expect(loadConfig({})).toMatchObject({ proxyProtocol: false, trustProxy: false, rateLimitSends: 30, rateLimitRequests: 100 })
})

test('a switch or a rate that is neither is named, with every other problem', () => {
  const wrong = { PROXY_PROTOCOL: 'yes', TRUST_PROXY: 'constructor', RATE_LIMIT_SENDS: '-1', RATE_LIMIT_REQUESTS: '1/s', MQTT_PORT: 'x' }
  try {
    loadConfig(wrong)
    expect.unreachable()
  } catch (error) {
    expect(error).toBeInstanceOf(ConfigError)
    expect((error as ConfigError).problems.map(problem => problem.split(' ')[0])).toEqual(expect.arrayContaining(Object.keys(wrong)))
  }
})

test('the limits have an effect: nothing warns that they have none', () => {
  expect(loadConfig({ PROXY_PROTOCOL: 'on', TRUST_PROXY: 'on', RATE_LIMIT_SENDS: '0', RATE_LIMIT_REQUESTS: '0' }).warnings.join()).not.toMatch(/PROXY|RATE/)
})
