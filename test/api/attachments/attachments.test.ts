/** Uploading, and who may have it back. */
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { sql } from 'drizzle-orm'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { MAX_ATTACHMENT_BYTES } from '../../../core/attachment-rules.ts'
import { attachments as rows } from '../../../migrations/schema.ts'
import { releaseAttachments } from '../../../store/attachments.ts'
import { until } from '../../support/until.ts'
import { direct, group, send, startTestApi, type Caller, type TestApi } from '../api.ts'
import {
  beginUpload, bytesOf, download, fieldHead, fileHead, filesOf, form, FORM_END, PNG, upload, uploadForm
} from './uploads.ts'

let api: TestApi
let alice: Caller
let bob: Caller
let eve: Caller

beforeAll(async () => { api = await startTestApi() })
afterAll(() => api[Symbol.asyncDispose]())
beforeEach(async () => {
  [alice, bob, eve] = await Promise.all([api.user('alice'), api.user('bob'), api.user('eve')])
})

const rowCount = async (): Promise<number> =>
  (await api.messaging.database.autocommit.orm.select({ id: rows.id }).from(rows)).length
const code = ({ status, body }: { status: number, body: any }): [number, string] => [status, body.code]

test('a file is stored as it is, with its type found by its content', async () => {
  const answer = await upload(alice, PNG, 'beach.png', 'text/html')
  expect(answer).toMatchObject({
    status: 201,
    body: { id: expect.any(String), content_type: 'image/png', file_name: 'beach.png', size: PNG.length }
  })
  const { status, headers, bytes } = await download(api, alice, answer.body.id)
  expect([status, bytes.equals(PNG)]).toEqual([200, true])
  expect(Object.fromEntries(headers)).toMatchObject({
    'content-type': 'image/png',
    'content-length': String(PNG.length),
    'content-disposition': 'inline; filename="beach.png"; filename*=UTF-8\'\'beach.png',
    'x-content-type-options': 'nosniff',
    'content-security-policy': expect.stringContaining("default-src 'none'"),
    'accept-ranges': 'bytes'
  })
  const path = join(api.filesFolder, answer.body.id.slice(-3), answer.body.id)
  expect((await stat(path)).mode & 0o777).toBe(0o600)
})

test('nothing that could run is shown in place, whatever it is called', async () => {
  const files: Array<[string, string | Buffer, string]> = [
    [
      'image.svg', '<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>',
      'text/plain; charset=utf-8'
    ],
    ['image.png', '<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>', 'application/xml'],
    ['page.html', '<!doctype html><script>alert(1)</script>', 'text/plain; charset=utf-8'],
    ['page.jpg', Buffer.from('<html>\0</html>'), 'application/octet-stream'],
    ['latin1.txt', Buffer.from([0x67, 0x72, 0xFC, 0xDF]), 'application/octet-stream']
  ]
  for (const [name, content, type] of files) {
    const { body } = await upload(alice, content, name, 'image/svg+xml')
    const { headers } = await download(api, alice, body.id)
    expect([name, headers.get('content-type'), headers.get('content-disposition')!.split(';')[0]]).toEqual([
      name, type, 'attachment'
    ])
  }
})

test('a name keeps what a person reads of it, and leads nowhere', async () => {
  const names: Array<[string, string | null]> = [
    ['../../etc/passwd', 'passwd'], ['C:\\\\windows\\\\win.ini', 'win.ini'], ['..', null], ['', null],
    ['na\u0000me.txt', 'name.txt'], ['photo\u202Egpj.exe', 'photogpj.exe'], ['größe 📷.png', 'größe 📷.png'],
    [`${'x'.repeat(300)}.jpeg`, `${'x'.repeat(250)}.jpeg`]
  ]
  for (const [claimed, kept] of names) {
    const { status, body } = await upload(alice, 'text', claimed)
    expect([claimed, status, body.file_name]).toEqual([claimed, 201, kept])
    expect((await download(api, alice, body.id)).status).toBe(200)
  }
  expect((await filesOf(api)).every(name => /^[0-9a-f-]{36}$/.test(name))).toBe(true)
})

test('what is no upload of one file is a problem, and leaves neither file nor row', async () => {
  const before = [await rowCount(), (await filesOf(api)).length]
  const large = bytesOf(MAX_ATTACHMENT_BYTES + 1)
  const refused: Array<[string, Buffer, number, string, string?]> = [
    ['nothing', Buffer.alloc(0), 400, 'file_required'],
    ['an empty form', form(FORM_END.slice(2)), 400, 'file_required'],
    ['an empty file', form(fileHead(), FORM_END), 400, 'attachment_empty'],
    ['a field', form(fieldHead, 'hello', FORM_END), 400, 'one_file_required'],
    ['a field before', form(fieldHead, 'hello', '\r\n', fileHead(), PNG, FORM_END), 400, 'one_file_required'],
    ['a field after', form(fileHead(), PNG, '\r\n', fieldHead, 'hello', FORM_END), 400, 'one_file_required'],
    ['two files', form(fileHead(), PNG, '\r\n', fileHead(), PNG, FORM_END), 400, 'one_file_required'],
    ['two large files', form(
      fileHead(), bytesOf(1_000_000), '\r\n', fileHead(), bytesOf(1_000_000), FORM_END
    ), 400, 'one_file_required'],
    ['a form without its end', form(fileHead(), bytesOf(100_000)), 400, 'malformed_form'],
    ['a form that ends in a head', form(fileHead().slice(0, 60)), 400, 'malformed_form'],
    ['no form', Buffer.from('just text'), 400, 'malformed_form'],
    ['no boundary', form(fileHead(), PNG, FORM_END), 400, 'malformed_form', 'multipart/form-data'],
    ['another type', PNG, 415, 'unsupported_media_type', 'image/png'],
    ['JSON', Buffer.from('{}'), 415, 'unsupported_media_type', 'application/json'],
    ['a byte too much', form(fileHead(), large, FORM_END), 413, 'attachment_too_large'],
    ['far too much', form(fileHead(), large, large, FORM_END), 413, 'attachment_too_large']
  ]
  for (const [name, body, status, expected, type] of refused) {
    expect([name, ...code(await uploadForm(alice, body, type))]).toEqual([name, status, expected])
  }
  expect(code(await alice.request('POST', '/attachments'))).toEqual([400, 'file_required'])
  expect([await rowCount(), (await filesOf(api)).length]).toEqual(before)
})

test('the largest file is allowed', async () => {
  const content = bytesOf(MAX_ATTACHMENT_BYTES)
  const { status, body } = await upload(alice, content)
  expect([status, body.size]).toEqual([201, MAX_ATTACHMENT_BYTES])
  expect((await download(api, alice, body.id)).bytes.equals(content)).toBe(true)
})

test('a client that goes away in the middle leaves nothing', async () => {
  const before = [await rowCount(), (await filesOf(api)).length]
  const { request } = beginUpload(api, alice)
  request.write(form(fileHead(), bytesOf(300_000)))
  await until(async () => (await filesOf(api)).some(name => name.endsWith('.part')), 'the file has begun')
  request.destroy()
  await until(async () =>
    (await rowCount()) === before[0] && (await filesOf(api)).length === before[1], 'nothing is left')
})

test('a body without end is refused as soon as it is too large', async () => {
  const { request, answer } = beginUpload(api, alice)
  request.on('error', () => {})
  request.write(fileHead())
  const chunk = bytesOf(64 * 1024)
  const pour = (): void => {
    if (request.destroyed) return
    if (request.write(chunk)) setImmediate(pour)
    else request.once('drain', pour)
  }
  pour()
  expect(code(await answer)).toEqual([413, 'attachment_too_large'])
  request.destroy()
})

test('one user has four uploads at once, and others have theirs', async () => {
  const before = (await filesOf(api)).length
  const running = [1, 2, 3, 4].map(() => beginUpload(api, alice))
  for (const { request } of running) request.write(form(fileHead(), bytesOf(100_000)))
  await until(async () => (await filesOf(api)).length === before + 4, 'four have begun')
  const refused = await upload(alice, PNG)
  expect([...code(refused), refused.headers.get('retry-after')]).toEqual([
    429, 'too_many_uploads', expect.any(String)
  ])
  expect((await upload(bob, PNG)).status).toBe(201)
  for (const { request } of running) request.end(FORM_END)
  for (const { answer } of running) expect((await answer).status).toBe(201)
  expect((await upload(alice, PNG)).status).toBe(201)
})

test('only its uploader has what was not sent', async () => {
  const { body: { id } } = await upload(alice, PNG)
  expect((await download(api, alice, id)).status).toBe(200)
  expect(code(await bob.get(`/attachments/${id}`))).toEqual([404, 'attachment_not_found'])
  expect(code(await alice.get('/attachments/01980f5c-6f1e-7cc3-98a4-1d2b3c4d5e6f'))).toEqual([
    404, 'attachment_not_found'
  ])
  expect((await alice.get('/attachments/..%2F..%2Fetc')).status).toBe(400)
})

test('a file sent with a message is for those who can see the message, and for no other user', async () => {
  const family = await group(alice, bob)
  const { body: { id } } = await upload(alice, PNG)
  expect((await send(alice, family, 'look', { attachment_ids: [id.toUpperCase()] })).status).toBe(201)
  await alice.post(`/conversations/${family}/participants`, { user_id: eve.id })
  const dan = await api.user('dan')
  const has = async (caller: Caller): Promise<number> => (await download(api, caller, id)).status
  expect([await has(alice), await has(bob), await has(eve), await has(dan)]).toEqual([200, 200, 404, 404])

  expect((await send(alice, family, 'again', { attachment_ids: [id] })).status).toBe(201)
  expect(await has(eve)).toBe(200)
  await bob.delete(`/conversations/${family}/participants/${bob.id}`)
  expect(code(await bob.get(`/attachments/${id}`))).toEqual([403, 'not_a_participant'])
  await alice.post(`/conversations/${family}/participants`, { user_id: bob.id })
  expect(await has(bob)).toBe(404)
})

test('what a blocked user sends stays hidden with its message', async () => {
  const conversation = await direct(alice, bob)
  await api.messaging.database.autocommit.orm.execute(
    sql`insert into blocks (blocker_user_id, blocked_user_id) values (${bob.id}, ${alice.id})`
  )
  const { body: { id } } = await upload(alice, PNG)
  await send(alice, conversation, 'look', { attachment_ids: [id] })
  expect([(await download(api, alice, id)).status, (await download(api, bob, id)).status]).toEqual([200, 404])
})

test('what was deleted with its message is for no user any more, and its file goes', async () => {
  const conversation = await direct(alice, bob)
  const { body: { id } } = await upload(alice, PNG)
  const { body: { id: messageId } } = await send(alice, conversation, 'look', { attachment_ids: [id] })
  await api.messaging.database.transact(tx => releaseAttachments(tx, [messageId], new Date()))
  expect([(await download(api, alice, id)).status, (await download(api, bob, id)).status]).toEqual([404, 404])
  expect(code(await send(alice, conversation, 'again', { attachment_ids: [id] }))).toEqual([
    400, 'unknown_attachment'
  ])
  await until(
    async () => { await api.attachments.collect(); return !(await filesOf(api)).includes(id) },
    'the file went'
  )
})

test('a message carries its attachments in the order it names them, everywhere', async () => {
  const conversation = await direct(alice, bob)
  const uploaded = (await Promise.all(['one', 'two', 'three'].map(text =>
    upload(alice, text, `${text}.txt`)))).map(answer => answer.body)
  const attachments = [uploaded[2], uploaded[0], uploaded[1]]
  const draft = { attachment_ids: attachments.map(one => one.id), client_message_id: 'c1' }
  const sent = await send(alice, conversation, 'three files', draft)
  expect(sent).toMatchObject({ status: 201, body: { attachments } })
  expect((await send(alice, conversation, 'three files', draft))).toMatchObject({
    status: 200, body: { attachments }
  })
  expect(code(await send(alice, conversation, 'three files', { ...draft, attachment_ids: [] }))).toEqual([
    409, 'client_message_id_reused'
  ])
  expect((await bob.get(`/conversations/${conversation}/messages`)).body.messages[0].attachments).toEqual(
    attachments
  )
  expect((await bob.get('/conversations')).body.conversations[0].last_message.attachments).toEqual(
    attachments
  )
  expect((await bob.get('/inbox')).body.events.at(-1).message.attachments).toEqual(attachments)
})

test('only own uploads that are still there can be sent, each once, ten at most', async () => {
  const conversation = await direct(alice, bob)
  const ids: string[] = []
  while (ids.length < 11) ids.push((await upload(alice, 'x')).body.id)
  const foreign = (await upload(bob, 'x')).body.id
  const refused: Array<[string, string[], string]> = [
    ['another user\'s', [ids[0]!, foreign], 'unknown_attachment'],
    ['unknown', ['01980f5c-6f1e-7cc3-98a4-1d2b3c4d5e6f'], 'unknown_attachment'],
    ['twice', [ids[0]!, ids[0]!.toUpperCase()], 'duplicate_attachment'],
    ['eleven', ids, 'invalid_request'],
    ['no id', ['x'], 'invalid_request']
  ]
  for (const [name, attachment_ids, expected] of refused) {
    expect([name, ...code(await send(alice, conversation, 'no', { attachment_ids }))]).toEqual([
      name, 400, expected
    ])
  }
  expect((await bob.get(`/conversations/${conversation}/messages`)).body.messages).toEqual([])
  expect(
    (await send(alice, conversation, 'ten', { attachment_ids: ids.slice(0, 10) })).body.attachments
  ).toHaveLength(10)
})

test('a send with a wrong attachment fails alone in its batch', async () => {
  const conversations =
    await Promise.all(['b', 'c', 'd', 'e'].map(async name => await direct(alice, await api.user(name))))
  const { body: { id } } = await upload(alice, PNG)
  const answers = await Promise.all(conversations.map((conversation, i) =>
    send(
      alice, conversation, 'hi', { attachment_ids: i === 1 ? ['01980f5c-6f1e-7cc3-98a4-1d2b3c4d5e6f'] : [id] }
    )))
  expect(answers.map(answer => answer.status)).toEqual([201, 400, 201, 201])
})

test('one range is answered with 206, one outside with 416, several with everything', async () => {
  const { body: { id } } = await upload(alice, '0123456789')
  const ranges: Array<[string, number, string, string | null]> = [
    [
      'bytes=0-0', 206, '0', 'bytes 0-0/10'
    ], ['bytes=7-', 206, '789', 'bytes 7-9/10'], ['bytes=-3', 206, '789', 'bytes 7-9/10'],
    ['bytes=5-99', 206, '56789', 'bytes 5-9/10'], ['bytes=-99', 206, '0123456789', 'bytes 0-9/10'],
    [
      'bytes=0-1,3-4', 200, '0123456789', null
    ], ['bytes=5-2', 200, '0123456789', null], ['lines=0-1', 200, '0123456789', null]
  ]
  for (const [range, status, text, contentRange] of ranges) {
    const answer = await download(api, alice, id, { range })
    expect([range, answer.status, answer.bytes.toString(), answer.headers.get('content-range')]).toEqual([
      range, status, text, contentRange
    ])
  }
  for (const range of ['bytes=10-', 'bytes=-0']) {
    const answer = await download(api, alice, id, { range })
    expect([
      answer.status, JSON.parse(answer.bytes.toString()).code, answer.headers.get('content-range')
    ]).toEqual([416, 'range_not_satisfiable', 'bytes */10'])
  }
  const head = await download(api, alice, id, {}, 'HEAD')
  expect([head.status, head.headers.get('content-length'), head.bytes.length]).toEqual([200, '10', 0])
  const etag = head.headers.get('etag')!
  expect((await download(api, alice, id, { 'if-none-match': `"x", W/${etag}` })).status).toBe(304)
  expect((await download(api, alice, id, { range: 'bytes=0-0', 'if-range': '"x"' })).status).toBe(200)
})

test('an avatar is an own picture, seen by people of a direct conversation, and goes when it is replaced', async () => {
  const [first, second, text, foreign] = [
    await upload(alice, PNG), await upload(alice, PNG), await upload(alice, 'x'), await upload(bob, PNG)
  ].map(answer => answer.body.id)
  await direct(alice, bob)
  expect((await alice.put('/users/me', { avatar: first })).body.avatar).toBe(first)
  expect([(await download(api, bob, first)).status, (await download(api, eve, first)).status]).toEqual([
    200, 404
  ])
  expect(code(await alice.put('/users/me', { avatar: text }))).toEqual([400, 'avatar_not_an_image'])
  expect(code(await alice.put('/users/me', { avatar: foreign }))).toEqual([400, 'unknown_attachment'])
  await alice.put('/users/me', { avatar: second })
  await until(
    async () => { await api.attachments.collect(); return !(await filesOf(api)).includes(first) },
    'the earlier one went'
  )
  expect([(await download(api, bob, first)).status, (await download(api, bob, second)).status]).toEqual([
    404, 200
  ])
  expect((await alice.put('/users/me', { avatar: null })).body.avatar).toBeNull()
})

test('what was never sent goes after its day, and what a message carries stays', async () => {
  const conversation = await direct(alice, bob)
  const [unsent, sent] = [(await upload(alice, 'x')).body.id, (await upload(alice, 'y')).body.id]
  await send(alice, conversation, 'look', { attachment_ids: [sent] })
  await api.messaging.database.autocommit.orm.execute(
    sql`
      update attachments set released_at = released_at - interval '24 hours'
       where id in (${unsent}, ${sent})`
  )
  expect(code(await send(alice, conversation, 'late', { attachment_ids: [unsent] }))).toEqual([
    400, 'unknown_attachment'
  ])
  await until(
    async () => { await api.attachments.collect(); return !(await filesOf(api)).includes(unsent) },
    'the unsent one went'
  )
  expect((await download(api, bob, sent)).status).toBe(200)
})
