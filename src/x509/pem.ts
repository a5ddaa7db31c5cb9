import { messageOf, PosternError } from '../core/errors.ts'
import { Certificate, largestConcatenation, mostCertificates } from './certificate.ts'

/**
 * Reads the CERTIFICATE blocks of a PEM text (RFC 7468), at least one; text around the blocks is passed over, as
 * OpenSSL writes it. Any other block is refused: a private key in a file of certificates is a mistake that someone
 * should hear of. At most 4 MiB and 1024 blocks. Throws `PosternError` ERR_PEM_MALFORMED that names the block and
 * its line.
 */
export function parsePemCertificates(text: string): Certificate[] {
  if (text.length > largestConcatenation) throw malformed('PEM text is larger than 4 MiB')
  const blocks = splitBlocks(text)
  if (blocks.length === 0) throw malformed('PEM text holds no certificate')
  return blocks.map(parseBlock)
}

interface Block {
  readonly number: number
  readonly line: number
  readonly label: string
  readonly base64: string
}

const beginLine = /^-----BEGIN ([^-]*)-----$/
const certificateLabels = new Set(['CERTIFICATE', 'X509 CERTIFICATE'])

function splitBlocks(text: string): Block[] {
  const lines = text.replace(/^\uFEFF/, '').split(/\r\n|\n|\r/)
  const blocks: Block[] = []
  for (let i = 0; i < lines.length; i++) {
    const label = beginLine.exec(lines[i]?.trimEnd() ?? '')?.[1]
    if (label === undefined) continue
    const number = blocks.length + 1
    if (number > mostCertificates) throw malformed('PEM text holds more than 1024 blocks')
    const end = endOf(lines, i, label, number)
    blocks.push({ number, line: i + 1, label, base64: lines.slice(i + 1, end).join('') })
    i = end
  }
  return blocks
}

function endOf(lines: readonly string[], begin: number, label: string, number: number): number {
  for (let i = begin + 1; i < lines.length; i++) {
    const line = lines[i]?.trimEnd() ?? ''
    if (line === `-----END ${label}-----`) return i
    if (line.startsWith('-----')) break
  }
  throw malformed(`PEM block ${number} (line ${begin + 1}) does not end`)
}

function parseBlock(block: Block): Certificate {
  const where = `PEM block ${block.number} (line ${block.line})`
  if (!certificateLabels.has(block.label))
    throw malformed(`${where} is labelled ${JSON.stringify(block.label)}, not CERTIFICATE`)
  const base64 = block.base64.replace(/[ \t]/g, '')
  if (base64.length % 4 !== 0 || !/^[A-Za-z0-9+/]*={0,2}$/.test(base64))
    throw malformed(`${where} is not base64`)
  try {
    return Certificate.parse(Buffer.from(base64, 'base64'))
  } catch (cause) {
    throw malformed(`${where}: ${messageOf(cause)}`, cause)
  }
}

function malformed(message: string, cause?: unknown): PosternError {
  return new PosternError('ERR_PEM_MALFORMED', message, { cause })
}
