/**
 * The chat page at `/` and the console at `/console`, as `npm run build:web` writes them, and what they ask
 * besides the API. None of it is in the OpenAPI document: it is there for these two pages.
 */
import fastifyStatic from '@fastify/static'
import { access } from 'node:fs/promises'
import { join } from 'node:path'
import { type FastifyReply, type FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import { type App } from '../app.ts'
import { developmentTokenRoute, type IssueToken } from './development-tokens.ts'
import { policyFor } from './policy.ts'

const FILES = { '/': 'index.html', '/console': 'console/index.html' }
/** As vite names them: no file of another folder, and no folder. */
const ASSET = '^[\\w-][\\w.-]*$'
const NOT_BUILT =
  'The pages are not built. Run `npm run build:web` in the folder of Echo, then load this page again.\n'

export interface Pages {
  /** What vite has built. */
  folder: string
  /** Where devices connect by WebSocket. */
  webSocketPort: number
  /** Undefined: no page gets a token here. */
  issueToken?: IssueToken
}

export async function servePages (
  app: App, { folder, webSocketPort, issueToken }: Pages, scheme: 'http' | 'https'
): Promise<void> {
  await app.register(async pages => {
    await pages.register(fastifyStatic, { root: folder, serve: false, index: false })
    pages.addHook('onSend', async (request, reply) => {
      reply.headers({
        'content-security-policy': policyFor(request.headers.host, webSocketPort),
        'x-content-type-options': 'nosniff',
        'referrer-policy': 'no-referrer',
        'cross-origin-opener-policy': 'same-origin'
      })
    })
    const hidden = { schema: { hide: true } }
    for (const [path, file] of Object.entries(FILES)) {
      pages.get(path, hidden, async (_request, reply) => await exists(join(folder, file))
        ? await reply.sendFile(file, { cacheControl: false }).header('cache-control', 'no-cache')
        : await reply.code(404).type('text/plain; charset=utf-8').send(NOT_BUILT))
    }
    // The names of these files change with their contents.
    const params = Type.Object({ file: Type.String({ pattern: ASSET }) })
    const asset = { schema: { ...hidden.schema, params } }
    pages.get('/assets/:file', asset, async (request: FastifyRequest<{ Params: { file: string } }>, reply) =>
      await reply.sendFile(`assets/${request.params.file}`, { immutable: true, maxAge: '365d' }))

    pages.get('/page-settings', hidden, async (_request, reply: FastifyReply) =>
      await reply.header('cache-control', 'no-store').send({
        web_socket_port: webSocketPort, development_tokens: issueToken !== undefined
      }))
    if (issueToken !== undefined) developmentTokenRoute(pages, issueToken, scheme)
  })
}

const exists = (file: string): Promise<boolean> => access(file).then(() => true, () => false)
