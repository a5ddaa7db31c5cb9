import { incomplete, malformed, type ProxyHeader } from './header.ts'
import { begins1, readHeader1 } from './version1.ts'
import { begins2, readHeader2 } from './version2.ts'

/**
 * Reads the PROXY protocol header, version 1 or 2, at the beginning of all the bytes of a connection so far; the specification is
 * HAProxy's `doc/proxy-protocol.txt`. Both versions are bounded, so that `incomplete` comes for at most 4,112 bytes.
 */
export function readProxyHeader(bytes: Buffer): ProxyHeader {
  if (bytes.length === 0) return incomplete
  if (begins1(bytes)) return readHeader1(bytes)
  if (begins2(bytes)) return readHeader2(bytes)
  return malformed('it begins with no header of either version')
}
