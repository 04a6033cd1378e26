/** Where every command reads its settings: the environment, and behind it `.env` of the working folder. */
import { existsSync } from 'node:fs'

/** What is set wins over the file, also when it is set to nothing. */
export function readEnvironment (): NodeJS.ProcessEnv {
  if (existsSync('.env')) process.loadEnvFile('.env')
  return process.env
}
