/** The pages. `npm run dev:web` serves them beside a running Echo, which answers what they ask. */
import { defineConfig } from 'vite'

const echo = process.env.ECHO_URL ?? 'http://localhost:8080'
/** The tokens for development are given to pages of Echo only. */
const asOwnPage = { target: echo, changeOrigin: true, headers: { origin: new URL(echo).origin } }

export default defineConfig({
  root: import.meta.dirname,
  build: {
    outDir: 'dist',
    emptyOutDir: true,
    target: 'es2022',
    // The policy of the pages allows no inline scripts.
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0,
    rolldownOptions: {
      input: ['index.html', 'console/index.html'].map(file => `${import.meta.dirname}/${file}`),
      // Loaded when it is needed, not with what else the pages share.
      output: {
        codeSplitting: {
          groups: [
            { name: 'runtime', test: /rolldown|preload-helper/ }, { name: 'mqtt', test: /node_modules[\\/]mqtt/ }
          ]
        }
      }
    }
  },
  server: {
    proxy: Object.fromEntries(
      ['/api', '/metrics', '/ready', '/page-settings', '/development-tokens'].map(path => [path, asOwnPage]))
  }
})
