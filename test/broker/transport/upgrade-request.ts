/** The bytes with which a client asks for a WebSocket. */
export const upgradeRequest = (path: string, ...headers: string[]): string => [
  `GET ${path} HTTP/1.1`,
  'host: localhost',
  ...headers,
  'connection: upgrade',
  'upgrade: websocket',
  'sec-websocket-version: 13',
  'sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==',
  '\r\n'
].join('\r\n')
