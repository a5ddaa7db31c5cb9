import { isIPv4, isIPv6 } from 'node:net'
import { PosternError } from '../core/errors.ts'

/** Where to listen, or where to connect to. */
export type Address =
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number }
  | { readonly kind: 'unix'; readonly path: string }

export type TcpAddress = Extract<Address, { kind: 'tcp' }>

/** The kernel's `sun_path` holds 108 bytes with the closing NUL; a longer path would be cut and another socket dialled. */
const longestSocketPath = 107

const unixShape = /^unix:(?:\/\/(?=\/))?(?<path>\/(?!\/)[\x21-\x7e]*)$/
const tcpShape = /^(?:\[(?<six>[0-9A-Fa-f:.]+)\]|(?<host>[A-Za-z0-9._-]+)):(?<port>[0-9]{1,5})$/
const hostLabel = '[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?'
const hostShape = new RegExp(`^${hostLabel}(?:\\.${hostLabel})*\\.?$`)

/**
 * Reads `host:port`, `[IPv6]:port` or `unix:/path`; port 0 is any free one. A host is an IP address or a name; a
 * name that looks like a number (`010.0.0.1`) is refused, because resolvers read it as another address.
 * Throws `PosternError` ERR_ADDRESS_INVALID.
 */
export function parseAddress(text: string): Address {
  const path = unixShape.exec(text)?.groups?.['path']
  if (path !== undefined) return unixAddress(text, path)
  const { six, host, port: digits } = tcpShape.exec(text)?.groups ?? {}
  const port = Number(digits)
  const isHost = six === undefined ? isIPv4(host ?? '') || isHostName(host ?? '') : isIPv6(six)
  if (!isHost || port > 65_535) throw invalid(text, 'expected host:port, [IPv6]:port or unix:/path')
  return { kind: 'tcp', host: (six ?? host ?? '').toLowerCase(), port }
}

/** The spelling that `parseAddress` reads back to the same address. */
export function formatAddress(address: Address): string {
  if (address.kind === 'unix') return `unix:${address.path}`
  const host = address.host.includes(':') ? `[${address.host}]` : address.host
  return `${host}:${address.port}`
}

/** Whether only this machine can reach it, or be reached by it: a loopback address, `localhost` or a socket of the file system. */
export function isLocal(address: Address): boolean {
  if (address.kind === 'unix') return true
  const { host } = address
  return host === 'localhost' || isLoopback(host.replace(/^::ffff:(?=\d+\.)/, ''))
}

function isLoopback(ip: string): boolean {
  return isIPv4(ip) ? ip.startsWith('127.') : isIPv6(ip) && /^(?:0*:)*0*:?0*1$/.test(ip)
}

function unixAddress(text: string, path: string): Address {
  if (path.endsWith('/')) throw invalid(text, 'it names a directory')
  if (path.length > longestSocketPath) {
    throw invalid(text, `its path is longer than ${longestSocketPath} bytes`)
  }
  return { kind: 'unix', path }
}

/** A last label of digits, or one that begins with 0x, makes a number of the whole (WHATWG URL 3.5, inet_aton). */
function isHostName(text: string): boolean {
  const last = text.replace(/\.$/, '').split('.').at(-1) ?? ''
  return text.length <= 253 && hostShape.test(text) && !/^(?:[0-9]+|0[xX][0-9A-Fa-f]*)$/.test(last)
}

function invalid(text: string, what: string): PosternError {
  return new PosternError('ERR_ADDRESS_INVALID', `${JSON.stringify(text)} is no address, ${what}`)
}
