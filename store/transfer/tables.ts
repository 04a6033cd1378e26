/** What a database of Echo consists of, as its catalog has it: whatever migrations add is carried too. */
import pg, { type Client } from 'pg'

export interface Table {
  name: string
  /** Quoted, and without those that the server computes. */
  columns: string[]
}

// Each after those that it refers to, so that rows can be written in this order.
const TABLES = `
  with recursive found as (
    select c.oid, c.relname::text as name,
           array(select quote_ident(attname) from pg_attribute
                  where attrelid = c.oid and attnum > 0 and not attisdropped and attgenerated = ''
                  order by attnum) as columns
      from pg_class c
     where c.relnamespace = 'public'::regnamespace and c.relkind = 'r'
  ), ranked as (
    select oid, 0 as depth from found
    union
    select f.conrelid, ranked.depth + 1
      from ranked join pg_constraint f on f.confrelid = ranked.oid
     where f.contype = 'f' and f.conrelid <> f.confrelid
  )
  select name, columns from found join ranked using (oid)
   group by oid, name, columns order by max(depth), name`

const SEQUENCES = `
  select relname::text as name from pg_class
   where relnamespace = 'public'::regnamespace and relkind = 'S' order by relname`

export const tablesOf = async (client: Client): Promise<Table[]> => (await client.query<Table>(TABLES)).rows

export const sequencesOf = async (client: Client): Promise<string[]> =>
  (await client.query<{ name: string }>(SEQUENCES)).rows.map(({ name }) => name)

/** When its newest migration was written, in milliseconds since 1970. */
export async function schemaVersionOf (client: Client): Promise<number> {
  const { rows: [row] } = await client.query<{ newest: string }>(
    'select max(created_at) as newest from drizzle.__drizzle_migrations'
  )
  return Number(row!.newest)
}

export const quoted = (name: string): string => `public.${pg.escapeIdentifier(name)}`

/** As COPY names it. */
export const columnsOf = ({ name, columns }: Table): string => `${quoted(name)} (${columns.join(', ')})`

/** Dates, floats and texts look alike whatever the server is set to. */
export const SAME_TEXT =
  "set client_encoding = 'UTF8'; set datestyle = 'ISO, MDY'; set intervalstyle = 'postgres'; " +
  'set extra_float_digits = 3; set timezone = \'UTC\''
