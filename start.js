/** `npm start`: the server as it is built, built anew where its sources have changed. */
import { buildIfChanged } from './build.js'

await buildIfChanged()
await import('./dist/main.js')
