/** A name or IPv4 address and a port, as nearly every authority is: one look in place of the grammar. */
const usualShape = /^[a-z0-9][a-z0-9.-]{0,200}(?::[1-9][0-9]{0,3})?$/i
/** RFC 3986 3.2.2 without the comma, which cannot be told from two Host fields that someone merged. */
const nameShape = /^(?:[A-Za-z0-9._~!$&'()*+;=-]|%[0-9A-Fa-f]{2}){1,255}$/
const portShape = /^:[0-9]{1,5}$/
const groupShape = /^[0-9A-Fa-f]{1,4}$/
const ipv4Shape = /^(?:(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])(?:\.(?!$)|$)){4}$/

/**
 * Whether `text` is `host[:port]`: a registered name, an IPv4 address or an IPv6 address in brackets, and a port of 1 to 65535
 * when there is a colon. No userinfo (RFC 9113 8.3.1), no zone, no comma. The same language as HTTP/1.1's Host here.
 */
export function isAuthority(text: string): boolean {
  return usualShape.test(text) || hasGrammarOfAuthority(text)
}

/** Whether two authorities of one scheme name the same host and port: case does not count, nor does a default port left out. */
export function isSameAuthority(a: string, b: string, scheme: string): boolean {
  return a === b || withoutDefaultPort(a, scheme) === withoutDefaultPort(b, scheme)
}

function hasGrammarOfAuthority(text: string): boolean {
  const bracket = text.startsWith('[') ? text.indexOf(']') : 0
  const colon = text.indexOf(':', Math.max(bracket, 0))
  const host = colon === -1 ? text : text.slice(0, colon)
  if (colon !== -1 && !isPort(text.slice(colon))) return false
  return host.startsWith('[') ? isBracketedAddress(host) : nameShape.test(host)
}

function isPort(text: string): boolean {
  const port = Number(text.slice(1))
  return portShape.test(text) && port >= 1 && port <= 65_535
}

function isBracketedAddress(host: string): boolean {
  if (!host.endsWith(']')) return false
  const [head = '', tail, ...more] = host.slice(1, -1).split('::')
  if (more.length > 0) return false
  if (tail === undefined) return countGroups(head, true) === 8
  // `::` stands for at least one group of zeros.
  return countGroups(head, false) + countGroups(tail, true) < 8
}

/** Groups of 16 bits, or more than an address can have when one is malformed. An IPv4 ending counts as two. */
function countGroups(text: string, mayEndInIpv4: boolean): number {
  if (text === '') return 0
  const groups = text.split(':')
  const hasIpv4 = mayEndInIpv4 && ipv4Shape.test(groups.at(-1) ?? '')
  const plain = hasIpv4 ? groups.slice(0, -1) : groups
  return plain.every((group) => groupShape.test(group)) ? plain.length + (hasIpv4 ? 2 : 0) : 9
}

function withoutDefaultPort(authority: string, scheme: string): string {
  const suffix = scheme === 'http' ? ':80' : ':443'
  const lower = authority.toLowerCase()
  return lower.endsWith(suffix) ? lower.slice(0, -suffix.length) : lower
}
