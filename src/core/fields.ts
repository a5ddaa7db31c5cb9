/**
 * Header fields in the order in which they came: name, value, name, value. Names are as sent (lower case from HTTP/2),
 * values are Latin-1 strings, one character a byte, trimmed of optional white space. A flat array because one request
 * carries tens of them and the hot path should not allocate an object for each.
 */
export type Fields = readonly string[]

/** The first value of `lowerCaseName`, or undefined. For tests and cold paths: it lower-cases every name. */
export function fieldValue(fields: Fields, lowerCaseName: string): string | undefined {
  for (let i = 0; i < fields.length; i += 2) {
    if (fields[i]?.toLowerCase() === lowerCaseName) return fields[i + 1]
  }
  return undefined
}
