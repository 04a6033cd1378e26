/** What the server says to its pages, and the tokens it gives them while one develops. */

export interface Settings {
  /** MQTT over WebSocket. */
  webSocketUrl: string
  /** True where Echo has made its own secret, and this is a browser on its machine. */
  developmentTokens: boolean
}

export async function readSettings (): Promise<Settings> {
  const answer = await fetch('/page-settings')
  if (!answer.ok) throw new Error(`the server answers ${answer.status}`)
  const { web_socket_port: port, development_tokens: developmentTokens } = await answer.json()
  const scheme = location.protocol === 'https:' ? 'wss' : 'ws'
  return { webSocketUrl: `${scheme}://${location.hostname}:${port}/mqtt`, developmentTokens }
}

export interface TokenWanted { user_id: string, name?: string, scope?: 'admin', ttl_seconds?: number }

export async function developmentToken (wanted: TokenWanted): Promise<string> {
  const answer = await fetch('/development-tokens', {
    method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(wanted)
  })
  const body = await answer.json()
  if (!answer.ok) throw new Error(body.detail)
  return body.token
}

export interface Claims { sub: string, exp?: number, name?: string, scope?: string }

/** What a token says of itself; undefined for a text that is none. Only the server can tell if it is true. */
export function claimsOf (token: string): Claims | undefined {
  try {
    const text = atob(token.split('.')[1]!.replaceAll('-', '+').replaceAll('_', '/'))
    const bytes = Uint8Array.from(text, character => character.charCodeAt(0))
    const claims = JSON.parse(new TextDecoder().decode(bytes)) as Claims
    return typeof claims.sub === 'string' ? claims : undefined
  } catch {
    return undefined
  }
}
