/** Commands besides `npm start` have its settings: the environment, and behind it `.env`. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { jwtVerify } from 'jose'
import { expect, test } from 'vitest'
import { runCommand } from '../support/command.ts'
import { databaseUrl, SERVER_VARIABLE } from '../support/database.ts'
import { scratchFolder } from '../support/echo-process.ts'

const key = (secret: string): Uint8Array => new TextEncoder().encode(secret)

test('a token is signed with the secret in .env, and with that of the environment before it', async () => {
  await using folder = await scratchFolder()
  const [filed, set] = ['f'.repeat(32), 'e'.repeat(32)]
  await writeFile(join(folder.path, '.env'), `JWT_SECRET=${filed}\nJWT_ISSUER=company\n`)
  for (const [secret, env] of [[filed, { JWT_SECRET: undefined }], [set, { JWT_SECRET: set }]] as const) {
    const { output } = await runCommand('token', { folder: folder.path, args: ['alice'], env })
    const { payload } = await jwtVerify(output.trim(), key(secret))
    expect(payload).toMatchObject({ sub: 'alice', iss: 'company' })
  }
})

test('a migration goes to the database in .env, and to that of the environment before it', async () => {
  await using folder = await scratchFolder()
  const named = (name: string): string => databaseUrl(process.env[SERVER_VARIABLE]!, name)
  await writeFile(join(folder.path, '.env'), `DATABASE_URL=${named('of_the_file')}\n`)
  for (const [name, env] of [
    ['of_the_file', { DATABASE_URL: undefined }],
    ['of_the_environment', { DATABASE_URL: named('of_the_environment') }]
  ] as const) {
    const { code, output } = await runCommand('migrate', { folder: folder.path, env })
    expect(code).toBe(1)
    expect(output).toContain(`database "${name}" does not exist`)
  }
})
