import { HeaderField } from '../header-field.ts'

/** Entries of RFC 7541 appendix A; index 1 is the first. */
const entries: readonly (readonly [name: string, value: string])[] = [
  [':authority', ''],
  [':method', 'GET'],
  [':method', 'POST'],
  [':path', '/'],
  [':path', '/index.html'],
  [':scheme', 'http'],
  [':scheme', 'https'],
  [':status', '200'],
  [':status', '204'],
  [':status', '206'],
  [':status', '304'],
  [':status', '400'],
  [':status', '404'],
  [':status', '500'],
  ['accept-charset', ''],
  ['accept-encoding', 'gzip, deflate'],
  ['accept-language', ''],
  ['accept-ranges', ''],
  ['accept', ''],
  ['access-control-allow-origin', ''],
  ['age', ''],
  ['allow', ''],
  ['authorization', ''],
  ['cache-control', ''],
  ['content-disposition', ''],
  ['content-encoding', ''],
  ['content-language', ''],
  ['content-length', ''],
  ['content-location', ''],
  ['content-range', ''],
  ['content-type', ''],
  ['cookie', ''],
  ['date', ''],
  ['etag', ''],
  ['expect', ''],
  ['expires', ''],
  ['from', ''],
  ['host', ''],
  ['if-match', ''],
  ['if-modified-since', ''],
  ['if-none-match', ''],
  ['if-range', ''],
  ['if-unmodified-since', ''],
  ['last-modified', ''],
  ['link', ''],
  ['location', ''],
  ['max-forwards', ''],
  ['proxy-authenticate', ''],
  ['proxy-authorization', ''],
  ['range', ''],
  ['referer', ''],
  ['refresh', ''],
  ['retry-after', ''],
  ['server', ''],
  ['set-cookie', ''],
  ['strict-transport-security', ''],
  ['transfer-encoding', ''],
  ['user-agent', ''],
  ['vary', ''],
  ['via', ''],
  ['www-authenticate', ''],
]

/** Fields by index; [0] is undefined because index 0 does not exist. */
export const staticFields: readonly (HeaderField | undefined)[] = [
  undefined,
  ...entries.map(([name, value]) => HeaderField.of(name, value)),
]

/** Number of entries; the dynamic table begins behind it. */
export const staticLength = entries.length

/** What the encoder looks up: the index of a name, and of each value that the table holds for it. */
export interface StaticName {
  readonly index: number
  readonly values: ReadonlyMap<string, number>
}

export const staticNames: ReadonlyMap<string, StaticName> = namesOf(entries)

function namesOf(
  table: readonly (readonly [name: string, value: string])[],
): Map<string, StaticName> {
  const names = new Map<string, { index: number; values: Map<string, number> }>()
  table.forEach(([name, value], i) => {
    const known = names.get(name) ?? { index: i + 1, values: new Map<string, number>() }
    if (value !== '') known.values.set(value, i + 1)
    names.set(name, known)
  })
  return names
}
