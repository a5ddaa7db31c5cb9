import { isIPv4, isIPv6 } from 'node:net'
import { PosternError } from '../core/errors.ts'

/** Where a Workload API is served, SPIFFE Workload Endpoint 4. `target` is the same in grpc-js's words. */
export type WorkloadApiAddress =
  | { readonly kind: 'unix'; readonly path: string; readonly target: string }
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number; readonly target: string }

/** The kernel's `sun_path` holds 108 bytes with the closing NUL; a longer path would be cut and another socket dialled. */
const longestSocketPath = 107

/** An authority (`unix://host/path`) is no part of it: grpc-js would make a relative path of that. */
const unixShape = /^unix:(?:\/\/(?=\/))?(?<path>\/[^?#]*)$/
const tcpShape = /^tcp:\/\/(?:\[(?<six>[0-9a-fA-F:.]+)\]|(?<four>[0-9.]+)):(?<port>[0-9]{1,5})$/

/**
 * Parses what SPIFFE_ENDPOINT_SOCKET or the configuration holds: `unix:///path`, `unix:/path` or `tcp://IP:port`.
 * Throws `PosternError` ERR_ADDRESS_INVALID for everything else, host names included.
 */
export function parseWorkloadApiAddress(text: string): WorkloadApiAddress {
  const unix = unixShape.exec(text)?.groups
  if (unix !== undefined) return unixAddress(text, unix['path'] ?? '')
  const tcp = tcpShape.exec(text)?.groups
  if (tcp !== undefined) return tcpAddress(text, tcp['four'], tcp['six'], Number(tcp['port']))
  throw invalid(text, 'must be unix:///path, unix:/path or tcp://IP:port')
}

function unixAddress(text: string, encodedPath: string): WorkloadApiAddress {
  const path = decode(text, encodedPath)
  if (path.startsWith('//')) throw invalid(text, 'has an authority or an empty segment')
  if (path.endsWith('/')) throw invalid(text, 'names a directory')
  // eslint-disable-next-line no-control-regex -- control characters are what must not be there
  if (/[\u0000-\u001f\u007f]/.test(path)) throw invalid(text, 'has a control character')
  if (Buffer.byteLength(path) > longestSocketPath) {
    throw invalid(text, `has a path longer than ${longestSocketPath} bytes`)
  }
  return { kind: 'unix', path, target: `unix:${path}` }
}

function decode(text: string, encodedPath: string): string {
  try {
    return decodeURIComponent(encodedPath)
  } catch {
    throw invalid(text, 'has a broken percent-encoding')
  }
}

function tcpAddress(
  text: string,
  four: string | undefined,
  six: string | undefined,
  port: number,
): WorkloadApiAddress {
  if (port < 1 || port > 65_535) throw invalid(text, 'has no port of 1 to 65535')
  if (four !== undefined && isIPv4(four)) {
    return { kind: 'tcp', host: four, port, target: `ipv4:${four}:${port}` }
  }
  if (six !== undefined && isIPv6(six)) {
    return { kind: 'tcp', host: six, port, target: `ipv6:[${six}]:${port}` }
  }
  throw invalid(text, 'has a host that is no IP address')
}

function invalid(text: string, what: string): PosternError {
  const shown = JSON.stringify(text.length > 120 ? `${text.slice(0, 120)}...` : text)
  return new PosternError('ERR_ADDRESS_INVALID', `Workload API address ${shown} ${what}`)
}
