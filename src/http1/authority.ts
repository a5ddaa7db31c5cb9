const longestHost = 255
const largestPort = 65_535

/** A name or IPv4 address and a port, as nearly every Host is: one look in place of the grammar. */
const usualShape = /^[a-z0-9][a-z0-9.-]{0,200}(?::[1-9][0-9]{0,3})?$/i
/** RFC 3986 3.2.2, without the comma, which cannot be told from two Host fields that someone merged. */
const nameShape = /^(?:[A-Za-z0-9._~!$&'()*+;=-]|%[0-9A-Fa-f]{2})+$/
const portShape = /^[0-9]{1,5}$/

/**
 * Whether `text` is `host[:port]`: a registered name, an IPv4 address or an IPv6 address in brackets, at most 255 characters, and a
 * port of 1 to 65535 when there is a colon. No userinfo, no zone, no IPvFuture, no comma.
 */
export function isAuthority(text: string): boolean {
  return usualShape.test(text) || hasGrammarOfAuthority(text)
}

function hasGrammarOfAuthority(text: string): boolean {
  const bracket = text.startsWith('[') ? text.indexOf(']') : 0
  const colon = text.indexOf(':', bracket)
  const host = colon === -1 ? text : text.slice(0, colon)
  return isHost(host) && (colon === -1 || isPort(text.slice(colon + 1)))
}

function isHost(host: string): boolean {
  if (host.length > longestHost) return false
  return host.startsWith('[') ? isBracketedAddress(host) : nameShape.test(host)
}

function isPort(port: string): boolean {
  return portShape.test(port) && Number(port) >= 1 && Number(port) <= largestPort
}

function isBracketedAddress(host: string): boolean {
  return host.endsWith(']') && isIpv6(host.slice(1, -1))
}

const groupShape = /^[0-9A-Fa-f]{1,4}$/
const octet = '(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])'
const ipv4Shape = new RegExp(`^${octet}(?:\\.${octet}){3}$`)
const groupsOfIpv6 = 8

function isIpv6(text: string): boolean {
  const [head = '', tail, ...more] = text.split('::')
  if (more.length > 0) return false
  if (tail === undefined) return countGroups(head, true) === groupsOfIpv6
  const before = head === '' ? 0 : countGroups(head, false)
  const after = tail === '' ? 0 : countGroups(tail, true)
  // `::` stands for at least one group of zeros.
  return before + after < groupsOfIpv6
}

/** Groups of 16 bits that `text` writes out, more than there can be when it is malformed. An IPv4 ending counts as two. */
function countGroups(text: string, mayEndInIpv4: boolean): number {
  const groups = text.split(':')
  const last = groups.at(-1) ?? ''
  const endsInIpv4 = mayEndInIpv4 && ipv4Shape.test(last)
  const plain = endsInIpv4 ? groups.slice(0, -1) : groups
  if (!plain.every((group) => groupShape.test(group))) return groupsOfIpv6 + 1
  return plain.length + (endsInIpv4 ? 2 : 0)
}

/** Whether two authorities of one scheme name the same host and port: case does not count, nor does a port left out. */
export function isSameAuthority(a: string, b: string, scheme: 'http' | 'https'): boolean {
  return a === b || withoutDefaultPort(a, scheme) === withoutDefaultPort(b, scheme)
}

function withoutDefaultPort(authority: string, scheme: 'http' | 'https'): string {
  const suffix = scheme === 'http' ? ':80' : ':443'
  const lower = authority.toLowerCase()
  return lower.endsWith(suffix) ? lower.slice(0, -suffix.length) : lower
}
