/** At most `longest` characters of a text from outside; a pair of surrogates is not parted. */
export function bounded(text: string, longest: number): string {
  if (text.length <= longest) return text
  const last = text.charCodeAt(longest - 1)
  const isHighSurrogate = last >= 0xd800 && last <= 0xdbff
  return text.slice(0, isHighSurrogate ? longest - 1 : longest)
}

/** A path as it may be recorded: bounded, and without the query even where a caller forgot to cut it. */
export function recordedPath(path: string): string {
  const end = path.indexOf('?')
  return bounded(end === -1 ? path : path.slice(0, end), longestPath)
}

/** RFC 3339 in UTC; undefined for a time that no Date holds, which a certificate may name. */
export function isoTime(timeMs: number): string | undefined {
  const time = new Date(timeMs)
  return Number.isNaN(time.getTime()) ? undefined : time.toISOString()
}

/** Characters of a recorded path. */
export const longestPath = 4_096
/** Characters of a host with its port. */
export const longestHost = 512
/** Characters of a method. */
export const longestMethod = 64
/** Characters of a certificate's subject or issuer. */
export const longestName = 1_024
/** Characters of a SPIFFE ID (SPIFFE-ID 2.3). */
export const longestSpiffeId = 2_048
/** Characters of a reason told to people. */
export const longestDetail = 512
/** Characters of anything else that has a name: products, consumers, rules, key ids. */
export const longestWord = 256
