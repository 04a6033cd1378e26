/** Attachments: uploading a file, and downloading it. */
import multipart from '@fastify/multipart'
import { type FastifyReply, type FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import { MAX_ATTACHMENT_BYTES, shownInline } from '../../core/attachment-rules.ts'
import { AppError, unavailable } from '../../core/errors.ts'
import { type AttachmentView } from '../../core/views.ts'
import { type Attachments } from '../../messaging/attachments/attachments.ts'
import { type App } from '../app.ts'
import { callerOf } from '../authentication.ts'
import { matchesTag, parseRange } from '../attachments/byte-range.ts'
import { FORM_LIMITS, readUploadForm, type UploadPace } from '../attachments/upload-form.ts'
import { operation, problems } from '../contract/operations.ts'
import { Attachment, ById, idOf, refer } from '../contract/schemas.ts'
import { costOf, type Spend } from '../limits/allowances.ts'
import { type Transfers } from '../limits/transfers.ts'
import { compileValidator } from '../requests/validation.ts'

export interface TransferLimits { uploads: Transfers, downloads: Transfers, pace: UploadPace, spend: Spend }

/** Boundaries and headers of the form, with room to spare. */
const FORM_BYTES = 16 * 1024
/** The form refuses a slow upload with its reason before the connection is cut. */
const LATER_MS = 5_000
const NOTHING_RUNS = "default-src 'none'; frame-ancestors 'none'; sandbox"

export function attachmentRoutes (
  app: App, attachments: Attachments, { uploads, downloads, pace, spend }: TransferLimits
): void {
  app.register(async forms => {
    forms.removeAllContentTypeParsers()
    await forms.register(multipart, { limits: FORM_LIMITS, throwFileSizeLimit: false })

    forms.post('/attachments', {
      config: { bodyWithinMs: pace.wholeMs + LATER_MS },
      // The body is a stream.
      validatorCompiler: part => part.httpPart === 'body' ? () => true : compileValidator(part),
      schema: {
        ...operation('attachments', 'Upload a file'),
        description: `A form with exactly one file of at most ${MAX_ATTACHMENT_BYTES} bytes. ` +
          'Its type is found by its content. Send its id in `attachment_ids` within 24 hours; ' +
          'a file that was not sent by then is removed.',
        consumes: ['multipart/form-data'],
        body: Type.Object({ file: Type.String({ format: 'binary', description: 'Any field name will do' }) }),
        response: {
          201: refer(Attachment, 'Stored'),
          ...problems(
            'file_required', 'one_file_required', 'malformed_form', 'attachment_empty', 'upload_too_slow',
            'attachment_too_large', 'too_many_uploads'
          )
        }
      }
    }, async (request, reply) => {
      const { userId } = callerOf(request)
      const announced = Number(request.headers['content-length'] ?? MAX_ATTACHMENT_BYTES)
      if (announced > MAX_ATTACHMENT_BYTES + FORM_BYTES) {
        throw new AppError(
          'too_large', 'attachment_too_large', `a file may have ${MAX_ATTACHMENT_BYTES} bytes`
        )
      }
      await spend('files', userId, costOf.uploading(announced))
      const stopping = new AbortController()
      const place = uploads.enter(userId, () => stopping.abort(unavailable('Echo is stopping')))
      try {
        return await reply.code(201).send(await readUploadForm(
          request, stopping.signal, pace, ({ fileName, body }) => attachments.upload(userId, fileName, body)
        ))
      } finally {
        place[Symbol.dispose]()
      }
    })
  })

  const bytes = (description: string) =>
    ({ description, content: { '*/*': { schema: Type.String({ format: 'binary' }) } } })
  const schema = {
    params: ById,
    headers: Type.Object({
      range: Type.Optional(Type.String({
        description: 'One range of bytes; several are answered with the whole file',
        examples: ['bytes=0-1023']
      })),
      'if-none-match': Type.Optional(Type.String()),
      'if-range': Type.Optional(Type.String())
    }),
    response: {
      200: bytes('The file'),
      206: bytes('The range'),
      304: Type.Null({ description: 'The client has it already' }),
      ...problems('not_a_participant', 'attachment_not_found', 'range_not_satisfiable', 'too_many_downloads')
    }
  }
  const description = 'For its uploader until it is sent, then for members who can see a message with it; ' +
    'an avatar for all who may see the profile. ' +
    'Pictures, sound and video are shown in place, everything else is offered for download.'

  app.get('/attachments/:id', {
    exposeHeadRoute: false, // the one below answers without opening the file
    schema: { ...operation('attachments', 'Download a file'), description, ...schema }
  }, answer)
  app.head('/attachments/:id', {
    schema: { ...operation('attachments', 'What a download would answer'), description, ...schema }
  }, answer)

  type Request = FastifyRequest<{ Params: { id: string } }, any, any, any, any, any, any, any>

  async function answer (
    request: Request, reply: FastifyReply<any, any, any, any, any, any, any, any>
  ): Promise<any> {
    const { userId } = callerOf(request)
    const attachment = await attachments.find(userId, idOf(request))
    const tag = `"${attachment.id}"`
    // The content never changes, who may see it does: every use asks again, and a 304 costs little.
    reply.header('etag', tag).header('cache-control', 'private, no-cache').header('accept-ranges', 'bytes')
    if (matchesTag(request.headers['if-none-match'], tag)) return await reply.code(304).send()

    const ifRange = request.headers['if-range']
    const range = ifRange === undefined || ifRange === tag
      ? parseRange(request.headers.range, attachment.size)
      : undefined
    if (range === 'unsatisfiable') {
      reply.header('content-range', `bytes */${attachment.size}`)
      throw new AppError('unsatisfiable', 'range_not_satisfiable', `the file has ${attachment.size} bytes`)
    }
    const { start, end } = range ?? { start: 0, end: attachment.size - 1 }
    const head = (): FastifyReply => {
      if (range !== undefined) {
        reply.code(206).header('content-range', `bytes ${start}-${end}/${attachment.size}`)
      }
      return describe(reply, attachment).header('content-length', end - start + 1)
    }
    if (request.method === 'HEAD') return await head().send()

    const place = downloads.enter(userId, () => reply.raw.destroy())
    reply.raw.once('close', () => place[Symbol.dispose]())
    const stream = await attachments.read(attachment.id, { start, end })
    if (reply.raw.destroyed) stream.destroy() // the client left while the file was being opened
    return await head().send(stream)
  }
}

function describe (reply: FastifyReply, { content_type, file_name }: AttachmentView): FastifyReply {
  const kind = shownInline(content_type) ? 'inline' : 'attachment'
  return reply
    .header('content-type', content_type)
    .header('content-disposition', disposition(kind, file_name))
    .header('x-content-type-options', 'nosniff')
    .header('content-security-policy', NOTHING_RUNS)
}

/** RFC 6266: the name in ASCII for old clients, and in full for all others. */
function disposition (kind: 'inline' | 'attachment', name: string | null): string {
  if (name === null) return kind
  const plain = name.replace(/[^\x20-\x7E]|["\\%]/gu, '_')
  const whole = encodeURIComponent(name).replace(
    /['()*]/g, character => `%${character.charCodeAt(0).toString(16).toUpperCase()}`
  )
  return `${kind}; filename="${plain}"; filename*=UTF-8''${whole}`
}
