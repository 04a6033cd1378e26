/** How the driver turns values into what it sends; its types leave this file out. */
declare module 'pg/lib/utils.js' {
  const utils: { prepareValue (value: unknown): unknown }
  export default utils
}
