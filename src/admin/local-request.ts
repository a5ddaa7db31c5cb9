import type { IncomingHttpHeaders } from 'node:http'
import { isIP } from 'node:net'

/** Why a request is not taken; undefined: it is. */
export type Refusal = string | undefined

/**
 * Keeps other sites that the operator's browser has open away from the admin port (DNS rebinding, cross-site requests). A
 * name that an attacker can point to 127.0.0.1 is not one of ours, whatever the port: a port may be forwarded. A page of
 * another origin may link to the status page, and may ask for nothing.
 */
export function refuseForeign(headers: IncomingHttpHeaders): Refusal {
  const { host = '', origin } = headers
  if (!isLoopbackName(nameOf(host))) return 'the Host is not localhost or a loopback address'
  if (origin !== undefined && origin !== `http://${host}`) return 'the Origin is another one'
  return isCrossSite(headers) ? 'it comes from a page of another site' : undefined
}

/** Sent by browsers; `none` is the address bar. */
function isCrossSite(headers: IncomingHttpHeaders): boolean {
  const site = headers['sec-fetch-site']
  if (site === undefined || site === 'same-origin' || site === 'none') return false
  const isLink =
    headers['sec-fetch-mode'] === 'navigate' && headers['sec-fetch-dest'] === 'document'
  return !isLink
}

/** Of `name`, `name:port`, `[v6]` or `[v6]:port`; '' for anything else. */
function nameOf(host: string): string {
  return /^(\[[0-9a-fA-F:.]+\]|[\w.-]+)(?::\d{1,5})?$/.exec(host)?.[1]?.toLowerCase() ?? ''
}

/** `localhost` and names below it never leave the machine (RFC 6761 6.3). */
function isLoopbackName(name: string): boolean {
  if (name === 'localhost' || name.endsWith('.localhost') || name === '[::1]') return true
  return isIP(name) === 4 && name.startsWith('127.')
}
