import { IpAddress } from '../core/ip-address.ts'
import { incomplete, malformed, type ProxyHeader } from './header.ts'

const signature = Buffer.from('0d0a0d0a000d0a515549540a', 'hex')

/** Signature, version and command, family and protocol, and the length of what follows (section 2.2). */
const fixedBytes = 16

/** Of addresses and extensions together; the protocol allows 65,535, and what balancers send stays below a tenth of this. */
const longestRest = 4_096

/** Whether the bytes, however few, can be the beginning of a header of version 2. */
export function begins2(bytes: Buffer): boolean {
  const compared = Math.min(bytes.length, signature.length)
  return signature.compare(bytes, 0, compared, 0, compared) === 0
}

export function readHeader2(bytes: Buffer): ProxyHeader {
  if (bytes.length < fixedBytes) return incomplete
  const [version, command] = nibbles(bytes.readUInt8(12))
  const restBytes = bytes.readUInt16BE(14)
  if (version !== 2) return malformed('the version is not 2')
  if (restBytes > longestRest) return malformed('the header is too long')
  const length = fixedBytes + restBytes
  if (bytes.length < length) return incomplete
  const rest = bytes.subarray(fixedBytes, length)
  switch (command) {
    case 0:
      // LOCAL: whatever the rest says has to be ignored.
      return { kind: 'own', length }
    case 1:
      return readProxied(bytes.readUInt8(13), rest, length)
    default:
      return malformed('the command is neither LOCAL nor PROXY')
  }
}

/** The only transports that a stream of ours can stand for: unspecified, TCP over IPv4 and IPv6, and a Unix stream. */
function readProxied(transport: number, rest: Buffer, length: number): ProxyHeader {
  switch (transport) {
    case 0x00:
      return { kind: 'own', length }
    case 0x11:
      return readAddresses(rest, 4, length)
    case 0x21:
      return readAddresses(rest, 16, length)
    case 0x31:
      return hasExtensions(rest, 2 * unixBytes) ? { kind: 'own', length } : brokenRest
    default:
      return malformed('the transport is not a stream')
  }
}

const unixBytes = 108

const brokenRest = malformed('the rest is not what the lengths in it say')

/** Source, destination, both ports, and extensions. */
function readAddresses(rest: Buffer, addressBytes: number, length: number): ProxyHeader {
  const portsAt = 2 * addressBytes
  if (!hasExtensions(rest, portsAt + 4)) return brokenRest
  const address = IpAddress.fromBytes(rest.subarray(0, addressBytes))
  return { kind: 'proxied', length, client: { address, port: rest.readUInt16BE(portsAt) } }
}

/** Whether what stands from `at` on is extensions from end to end: a type, two bytes of length, and the value (section 2.2). */
function hasExtensions(rest: Buffer, at: number): boolean {
  let next = at
  while (next + 3 <= rest.length) next += 3 + rest.readUInt16BE(next + 1)
  return next === rest.length
}

function nibbles(byte: number): readonly [number, number] {
  return [byte >> 4, byte & 0x0f]
}
