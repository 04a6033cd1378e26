/** Loaded before a measured server: SIGUSR2 collects garbage, so that what is left is what is held. */
process.on('SIGUSR2', () => {
  for (let i = 0; i < 3; i++) globalThis.gc?.()
})
