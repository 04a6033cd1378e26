/** Issues tokens for development; in production the company's own identity service does. */
import { SignJWT } from 'jose'

export interface TokenRequest {
  secret: Uint8Array
  userId: string
  ttlSeconds: number
  name?: string
  scope?: string
  acl?: { pub?: string[], sub?: string[] }
  issuer?: string
  audience?: string
}

/** A JWT signed with HS256. */
export async function issueToken (
  { secret, userId, ttlSeconds, name, scope, acl, issuer, audience }: TokenRequest
): Promise<string> {
  const claims = {
    ...(name === undefined ? {} : { name }),
    ...(scope === undefined ? {} : { scope }),
    ...(acl === undefined ? {} : { acl })
  }
  const token = new SignJWT(claims)
    .setProtectedHeader({ alg: 'HS256' })
    .setSubject(userId)
    .setIssuedAt()
    .setExpirationTime(Math.floor(Date.now() / 1000) + ttlSeconds)
  if (issuer !== undefined) token.setIssuer(issuer)
  if (audience !== undefined) token.setAudience(audience)
  return await token.sign(secret)
}
