import { IpAddress } from '../core/ip-address.ts'
import { incomplete, malformed, type ProxyHeader } from './header.ts'

const beginning = Buffer.from('PROXY ')

/** With its line end (section 2.1). */
const longestLine = 107

/** Whether the bytes, however few, can be the beginning of a line of version 1. */
export function begins1(bytes: Buffer): boolean {
  const compared = Math.min(bytes.length, beginning.length)
  return beginning.compare(bytes, 0, compared, 0, compared) === 0
}

/** Section 2.1: `PROXY TCP4 <source> <destination> <source port> <destination port>`, one space each, and CRLF. */
export function readHeader1(bytes: Buffer): ProxyHeader {
  const line = bytes.subarray(0, longestLine)
  const end = line.indexOf('\n')
  if (end === -1) {
    return bytes.length < longestLine ? incomplete : malformed('the line is too long')
  }
  if (line[end - 1] !== carriageReturn) return malformed('the line ends without CR')
  const words = line.toString('latin1', beginning.length, end - 1).split(' ')
  return words[0] === 'UNKNOWN' ? { kind: 'own', length: end + 1 } : readWords(words, end + 1)
}

const carriageReturn = 0x0d

const families: Readonly<Record<string, 'v4' | 'v6'>> = { TCP4: 'v4', TCP6: 'v6' }

function readWords(words: readonly string[], length: number): ProxyHeader {
  const [name = '', source = '', destination = '', sourcePort = '', destinationPort = ''] = words
  const family = families[name]
  if (family === undefined) return malformed('the line names no protocol that is known')
  if (words.length !== 5) return malformed('the line is not two addresses and two ports')
  const address = readAddress(source, family)
  if (address === undefined || readAddress(destination, family) === undefined) {
    return malformed('an address of the line is none of its protocol')
  }
  if (!isPort(sourcePort) || !isPort(destinationPort)) {
    return malformed('a port of the line is none')
  }
  return { kind: 'proxied', length, client: { address, port: Number(sourcePort) } }
}

/** The family is that of the text: `::ffff:10.0.0.1` is written as IPv6. */
function readAddress(text: string, family: 'v4' | 'v6'): IpAddress | undefined {
  return text.includes(':') === (family === 'v6') ? IpAddress.parse(text) : undefined
}

function isPort(text: string): boolean {
  return /^(?:0|[1-9][0-9]{0,4})$/.test(text) && Number(text) <= 65_535
}
