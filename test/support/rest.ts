/** A REST client for tests: one user, JSON in, JSON and status out. */
export interface Answer<T = Record<string, never>> { status: number, body: T, headers: Headers }

export interface RestClient {
  <T = any> (
    method: string, path: string, body?: unknown, headers?: Record<string, string>
  ): Promise<Answer<T>>
}

export const restClient = (
  api: string, token: string
): RestClient => async (method, path, body, headers = {}) => {
  const response = await fetch(api + path, {
    method,
    headers: {
      authorization: `Bearer ${token}`,
      ...(body === undefined
        ? {}
        : { 'content-type': 'application/json' }),
      ...headers
    },
    body: body === undefined ? undefined : JSON.stringify(body)
  })
  const text = await response.text()
  return {
    status: response.status, body: text === '' ? undefined : JSON.parse(text), headers: response.headers
  }
}
