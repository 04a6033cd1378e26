/** An attachment: a picture is shown, anything else is a link. Reading takes the token, so it is a blob. */
import { useEffect, useState } from 'preact/hooks'
import type { Attachment, Client } from '@echo/client'
import { usePerson } from './context.ts'

const MAX_KEPT = 60
/** Addresses of blobs by client and attachment; those unused for longest are given back. */
const kept = new Map<string, Promise<string>>()

function addressOf (client: Client, id: string): Promise<string> {
  const key = `${client.userId} ${id}`
  const known = kept.get(key) ?? client.attachment(id).then(blob => URL.createObjectURL(blob))
  kept.delete(key)
  kept.set(key, known)
  known.catch(() => kept.delete(key))
  const [oldest] = kept
  if (kept.size > MAX_KEPT && oldest !== undefined) {
    kept.delete(oldest[0])
    oldest[1].then(URL.revokeObjectURL, () => {})
  }
  return known
}

export function Picture ({ id, content_type, file_name, size }: Attachment) {
  const { client, connection } = usePerson()
  const [address, setAddress] = useState<string>()
  const { phase } = connection.value
  useEffect(() => {
    if (address !== undefined) return
    let gone = false
    addressOf(client, id).then(found => { if (!gone) setAddress(found) }, () => {}) // tried again when online
    return () => { gone = true }
  }, [id, phase])
  const name = file_name ?? 'a file'
  if (!content_type.startsWith('image/')) {
    return (
      <a class='file' href={address} download={name}>{name} <small>{Math.ceil(size / 1_024)} KB</small></a>
    )
  }
  return address === undefined
    ? <span class='picture missing'>{name}</span>
    : <a class='picture' href={address} target='_blank' rel='noreferrer'><img src={address} alt={name} /></a>
}
