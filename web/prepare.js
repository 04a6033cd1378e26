/** Builds the pages after `npm ci`, unless what builds them was left out (`--omit=dev`). */
const vite = await import('vite').catch(error => {
  if (error.code !== 'ERR_MODULE_NOT_FOUND') throw error
})
if (vite === undefined) console.log('vite is not installed: the pages at / and /console are not built')
else await vite.build({ root: import.meta.dirname, logLevel: 'warn' })
