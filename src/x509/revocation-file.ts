import { messageOf, PosternError } from '../core/errors.ts'
import type { Steps } from '../core/steps.ts'
import { RevocationList } from './revocation-list.ts'

/** Largest file of revocation lists, bytes: the largest list as PEM, and some text around it. */
export const largestRevocationFile = 24 * 1024 * 1024
/** Most lists in one file. */
export const mostRevocationLists = 64

/**
 * Reads the revocation lists of a file in steps: one as DER, or the X509 CRL blocks of a PEM text (RFC 7468), at least one.
 * Text around the blocks is passed over, as OpenSSL writes it; any other block is refused. Throws `PosternError`
 * ERR_PEM_MALFORMED or ERR_CRL_MALFORMED that names the block.
 */
export function* readRevocationFile(bytes: Buffer): Steps<readonly RevocationList[]> {
  if (bytes.length > largestRevocationFile) throw malformed('file is larger than 24 MiB')
  if (bytes[0] === derSequence) return [yield* RevocationList.read(bytes)]
  const lists: RevocationList[] = []
  let end = 0
  for (;;) {
    const block = nextBlock(bytes, end, lists.length + 1)
    if (block === undefined) break
    if (lists.length === mostRevocationLists)
      throw malformed(`PEM text holds more than ${mostRevocationLists} blocks`)
    lists.push(yield* readBlock(bytes, block))
    end = block.end
  }
  if (lists.length === 0) throw malformed('file holds no revocation list, neither DER nor PEM')
  return lists
}

const derSequence = 0x30

/** Where the base64 of a block is. */
interface Block {
  readonly number: number
  readonly start: number
  readonly end: number
}

const dashes = '-----'
const begin = `${dashes}BEGIN `
const label = 'X509 CRL'

function nextBlock(bytes: Buffer, from: number, number: number): Block | undefined {
  const at = bytes.indexOf(begin, from, 'latin1')
  if (at === -1) return undefined
  const start = bytes.indexOf(dashes, at + begin.length, 'latin1') + dashes.length
  const found = bytes.toString('latin1', at + begin.length, Math.min(start, at + longestLabel))
  if (found !== `${label}${dashes}`)
    throw malformed(`PEM block ${number} is no ${label}, expected nothing else in the file`)
  const end = bytes.indexOf(dashes, start, 'latin1')
  const line = `${dashes}END ${label}${dashes}`
  if (end === -1 || bytes.toString('latin1', end, end + line.length) !== line)
    throw malformed(`PEM block ${number} does not end`)
  return { number, start, end }
}

const longestLabel = 64

function* readBlock(bytes: Buffer, block: Block): Steps<RevocationList> {
  try {
    return yield* RevocationList.read(yield* decodeBase64(bytes, block))
  } catch (cause) {
    throw malformed(`PEM block ${block.number}: ${messageOf(cause)}`, cause)
  }
}

const charactersPerStep = 64 * 1024

/** `Buffer.from` reads over what is not base64. */
function* decodeBase64(bytes: Buffer, { start, end }: Block): Steps<Buffer> {
  const decoded = Buffer.allocUnsafeSlow(Math.ceil(((end - start) * 3) / 4))
  let size = 0
  let rest = ''
  for (let at = start; at < end; at += charactersPerStep) {
    const chunk = bytes.toString('latin1', at, Math.min(at + charactersPerStep, end))
    const text = rest + chunk.replace(/[\r\n\t ]+/g, '')
    const isLast = at + charactersPerStep >= end
    // The last group is held back, because only it may be filled up.
    const whole = isLast ? text.length : 4 * Math.floor(Math.max(0, text.length - 1) / 4)
    size += decoded.write(wholeGroups(text.slice(0, whole), isLast), size, 'base64')
    rest = text.slice(whole)
    yield
  }
  return decoded.subarray(0, size)
}

function wholeGroups(text: string, isLast: boolean): string {
  const form = isLast ? /^[A-Za-z0-9+/]*={0,2}$/ : /^[A-Za-z0-9+/]*$/
  if (text.length % 4 !== 0 || !form.test(text)) throw malformed('it is not base64')
  return text
}

function malformed(message: string, cause?: unknown): PosternError {
  return new PosternError('ERR_PEM_MALFORMED', message, { cause })
}
