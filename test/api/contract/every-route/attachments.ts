import { type Answer } from '../../api.ts'
import {
  beginDownload, beginUpload, bytesOf, fieldHead, fileHead, filesOf, form, FORM_END, PNG, upload, uploadForm
} from '../../attachments/uploads.ts'
import { until } from '../../../support/until.ts'
import { type Ask, type Row, type Rows, UNKNOWN, type World } from './world.ts'

/** The path of a picture that alice has sent. */
async function sent ({ alice, pair }: World, conversation = pair, content: Buffer = PNG): Promise<string> {
  const { id } = (await upload(alice, content)).body
  await alice.post('/messages', {
    conversation_id: conversation, content: 'look', message_type: 'image', attachment_ids: [id]
  })
  return `/attachments/${id}`
}

const fetched = (headers: Record<string, string> = {}): Ask =>
  async world => await world.bob.request('GET', await sent(world), undefined, { headers })

const download: Row = {
  success: {
    200: fetched(),
    206: fetched({ range: 'bytes=0-3' }),
    304: fetched({ 'if-none-match': '*' })
  },
  problems: {
    not_a_participant: async world => {
      const team = await world.newTeam()
      const path = await sent(world, team)
      await world.bob.delete(`/conversations/${team}/participants/${world.bob.id}`)
      return await world.bob.get(path)
    },
    attachment_not_found: ({ bob }) => bob.get(`/attachments/${UNKNOWN}`),
    range_not_satisfiable: fetched({ range: 'bytes=1000000-' }),
    too_many_downloads: tooManyDownloads
  },
  outsider: ['attachment_not_found', async world => await world.mallory.get(await sent(world))]
}

async function tooManyDownloads (world: World): Promise<Answer> {
  const path = await sent(world, world.pair, Buffer.alloc(8 * 1024 * 1024, 'x'))
  const running = await Promise.all(Array.from(
    { length: 16 }, () => beginDownload(world.api, world.bob, path.split('/')[2]!)
  ))
  const answer = await world.bob.get(path)
  for (const response of running) response.destroy()
  return answer
}

async function tooManyUploads ({ api, alice }: World): Promise<Answer> {
  const before = (await filesOf(api)).length
  const running = Array.from({ length: 4 }, () => beginUpload(api, alice))
  for (const { request } of running) request.write(form(fileHead(), bytesOf(100_000)))
  await until(
    async () => (await filesOf(api)).length === before + running.length, 'all of them are under way'
  )
  const answer = await upload(alice, PNG)
  for (const { request } of running) request.end(FORM_END)
  await Promise.all(running.map(upload => upload.answer))
  return answer
}

export const attachments: Rows = {
  'POST /attachments': {
    success: { 201: ({ alice }) => upload(alice, PNG) },
    problems: {
      file_required: ({ alice }) => uploadForm(alice, form(FORM_END.slice(2))),
      one_file_required: ({ alice }) => uploadForm(alice, form(fieldHead, 'x', FORM_END)),
      malformed_form: ({ alice }) => uploadForm(alice, form(fileHead(), 'cut off')),
      attachment_empty: ({ alice }) => upload(alice, ''),
      upload_too_slow: 'it takes half a minute of silence',
      attachment_too_large: ({ alice }) => upload(alice, Buffer.alloc(25 * 1024 * 1024 + 1)),
      too_many_uploads: tooManyUploads
    },
    outsider: 'every user may upload; who may read it is decided when it is sent'
  },
  'GET /attachments/{id}': download
}
