/** Where a message is written: text, mentions, a picture on its way, an answer or an edit. */
import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks'
import type { ShownConversation, ShownMessage } from '@echo/client'
import { usePerson } from './context.ts'
import { mentionBegun, mentionsIn } from './mentions.ts'
import { excerpt } from './message.tsx'
import { titleOf } from './names.ts'
import { nameOf } from './person.ts'
import { useUpload } from './upload.tsx'

export interface About { kind: 'reply' | 'edit', message: ShownMessage }

export function Composer ({ conversation, about, onDone }: {
  conversation: ShownConversation, about?: About, onDone: () => void
}) {
  const person = usePerson()
  const { client } = person
  const field = useRef<HTMLTextAreaElement>(null)
  const [text, setText] = useState(client.model.draft(conversation.id))
  const upload = useUpload(client)
  const label = `${person.name}’s message to ${titleOf(person, conversation)}`

  // Before anything can be written into the field: what is written is not replaced by what is edited.
  useLayoutEffect(() => {
    if (about === undefined) return
    if (about.kind === 'edit') setText(about.message.content ?? '')
    field.current?.focus()
  }, [about])
  // A draft of another device shows while nobody writes here.
  const draft = client.model.draft(conversation.id)
  useEffect(() => {
    const writing = document.hasFocus() && document.activeElement === field.current
    if (!writing && about?.kind !== 'edit') setText(draft)
  }, [draft])

  function write (value: string): void {
    setText(value)
    client.typing(conversation.id, value !== '')
    if (about?.kind !== 'edit') client.setDraft(conversation.id, value).catch(console.error)
  }

  async function send (): Promise<void> {
    const attachments = upload.done === undefined ? [] : [upload.done]
    const content = text.trim() || (attachments[0]?.file_name ?? '')
    if (content === '' || upload.part !== undefined) return
    const mentions = mentionsIn(content, conversation.participants)
    setText('')
    upload.clear()
    onDone()
    client.typing(conversation.id, false)
    if (about?.kind === 'edit') return await client.edit(about.message.id!, content, mentions)
    await client.setDraft(conversation.id, '')
    await client.send({
      conversation_id: conversation.id,
      content,
      mentions,
      attachments,
      message_type: attachments[0]?.content_type.startsWith('image/') === true ? 'image' : 'text',
      reply_to_id: about?.message.id ?? null
    })
  }

  const begun = mentionBegun(text)?.toLowerCase()
  const others = begun === undefined
    ? []
    : conversation.participants.filter(({ user_id }) => user_id !== person.userId &&
        nameOf(person, user_id).toLowerCase().startsWith(begun))

  return (
    <form class='composer' onSubmit={event => { event.preventDefault(); return send() }}>
      {about !== undefined && (
        <p class='about row between'>
          <span>
            {about.kind === 'edit' ? 'Edit ' : `Answer to ${nameOf(person, about.message.sender_user_id)}: `}
            <q>{excerpt(about.message)}</q>
          </span>
          <button
            type='button' class='plain'
            onClick={() => { if (about.kind === 'edit') setText(draft); onDone() }}
          >
            Cancel
          </button>
        </p>
      )}
      {others.length > 0 && (
        <p class='row suggestions' role='group' aria-label='Mention'>
          {others.map(({ user_id }) => (
            <button
              key={user_id} type='button'
              onClick={() => {
                write(text.replace(/@[^\s@]*$/, `@${nameOf(person, user_id)} `))
                field.current?.focus()
              }}
            >
              @{nameOf(person, user_id)}
            </button>
          ))}
        </p>
      )}
      {upload.shown}
      <div class='write'>
        <label class='attach' title='Add a picture'>
          <input
            type='file' accept='image/*' aria-label={`Add a picture to ${label}`}
            onChange={event => {
              const file = event.currentTarget.files?.[0]
              event.currentTarget.value = ''
              if (file !== undefined) upload.begin(file)
            }}
          />
          <svg viewBox='0 0 20 20' width='20' height='20' aria-hidden='true'>
            <path d='M3 4h14v12H3zM3 13l4-4 4 4 2-2 4 4M13 8h.01' />
          </svg>
        </label>
        <textarea
          ref={field} rows={1} value={text} aria-label={label} placeholder='Write a message'
          onInput={event => write(event.currentTarget.value)}
          onKeyDown={event => {
            if (event.key === 'Escape' && about !== undefined) onDone()
            if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return
            event.preventDefault()
            return send()
          }}
        />
        <button type='submit' class='primary' disabled={upload.part !== undefined}>
          {about?.kind === 'edit' ? 'Save' : 'Send'}
        </button>
      </div>
    </form>
  )
}
