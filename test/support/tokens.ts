/** Tokens as an identity provider would issue them, good and bad. */
import { SignJWT, UnsecuredJWT } from 'jose'

export const SECRET = new TextEncoder().encode('the secret that every test signs with')

export interface TokenOptions {
  secret?: Uint8Array
  claims?: Record<string, unknown>
  issuer?: string
  /** Seconds since 1970; now by default. */
  issuedAt?: number
  /** As jose reads it: seconds since 1970 as a number, or a span like '1h'. */
  expires?: string | number
}

export async function signToken (
  userId: string, { secret = SECRET, claims = {}, issuer, issuedAt, expires = '1h' }: TokenOptions = {}
): Promise<string> {
  const jwt = new SignJWT(claims).setProtectedHeader({ alg: 'HS256' }).setSubject(userId).setIssuedAt(
    issuedAt
  ).setExpirationTime(expires)
  if (issuer !== undefined) jwt.setIssuer(issuer)
  return await jwt.sign(secret)
}

/** `alg: none`: everything in it is right except that it is not signed. */
export const unsignedToken = (userId: string): string =>
  new UnsecuredJWT({}).setSubject(userId).setIssuedAt().setExpirationTime('1h').encode()
