import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: 'test/support/global-setup.ts',
    pool: 'forks',
    // Files of one worker share what they load: that takes 2 s a file otherwise, 170 times.
    isolate: false,
    maxWorkers: 2,
    // Not how long anything may take: a busy machine needs half a minute to start a process.
    testTimeout: 240_000,
    hookTimeout: 240_000
  }
})
