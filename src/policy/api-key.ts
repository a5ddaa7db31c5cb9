import { hash } from 'node:crypto'
import { crc32 } from 'node:zlib'

/** A key that was just made. `key` is shown once and stored nowhere. */
export interface NewApiKey {
  /** `pst_<id>_<43 base62><6 base62 of CRC-32>`. */
  readonly key: string
  /** `k_` and 8 hex characters. */
  readonly id: string
  /** SHA-256 of the whole key, lower-case hex. */
  readonly sha256: string
}

/** Longest key that is looked at, bytes; a longer one is unknown. */
export const longestApiKey = 256

const alphabet = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'
const prefix = 'pst_'
const secretLength = 43
const checksumLength = 6
const idBytes = 4
const secretBytes = 32

/**
 * Makes an API key. `randomBytes` must be a cryptographic source; `isTaken` says which ids the file holds already: eight hex
 * characters are short enough to type, and repeat among tens of thousands.
 */
export function createApiKey(
  randomBytes: (size: number) => Uint8Array,
  isTaken: (id: string) => boolean = () => false,
): NewApiKey {
  const id = freeId(randomBytes, isTaken)
  const body = `${prefix}${id}_${base62(randomBytes(secretBytes), secretLength)}`
  const key = body + checksumOf(body)
  return { key, id, sha256: digestOf(key) }
}

/** SHA-256 of a key as it is presented, lower-case hex. Keys are ASCII. */
export function digestOf(key: string): string {
  return hash('sha256', key, 'hex')
}

/** What the form of a presented key says. Whether the key is known is another question: only its digest answers that. */
export type ApiKeyForm =
  | { readonly kind: 'well-formed'; readonly id: string }
  /** The parts are there and the checksum is not theirs: a typing error, or a key cut short. */
  | { readonly kind: 'mistyped' }
  | { readonly kind: 'foreign' }

const idShape = /^[A-Za-z0-9][A-Za-z0-9_-]*$/
const tailShape = /^[0-9A-Za-z]{49}$/

/** Tells a typing error from a key that is none of ours. For explanations only; never a reason to accept. */
export function readApiKeyForm(presented: string): ApiKeyForm {
  if (!presented.startsWith(prefix)) return { kind: 'foreign' }
  if (presented.length > longestApiKey) return { kind: 'mistyped' }
  const cut = presented.lastIndexOf('_')
  const id = presented.slice(prefix.length, cut)
  const isWhole = idShape.test(id) && tailShape.test(presented.slice(cut + 1))
  const isRight = isWhole && presented.endsWith(checksumOf(presented.slice(0, -checksumLength)))
  return isRight ? { kind: 'well-formed', id } : { kind: 'mistyped' }
}

/** A text that is to be shown, with whatever looks like a key of ours cut down to its id: keys get pasted into strange places. */
export function withoutApiKeys(text: string): string {
  return text.replace(keyInText, '$1_...')
}

const keyInText = /(pst_[\w-]*)_[0-9A-Za-z]{20,}/g

function freeId(
  randomBytes: (size: number) => Uint8Array,
  isTaken: (id: string) => boolean,
): string {
  for (let attempt = 0; attempt < 1_000; attempt++) {
    const id = `k_${Buffer.from(randomBytes(idBytes)).toString('hex')}`
    if (!isTaken(id)) return id
  }
  throw new TypeError('no free id in a thousand attempts: the random source repeats itself')
}

function checksumOf(body: string): string {
  const checksum = Buffer.alloc(4)
  checksum.writeUInt32BE(crc32(body))
  return base62(checksum, checksumLength)
}

/** The bytes as one number, big end first, in `length` digits. */
function base62(bytes: Uint8Array, length: number): string {
  let rest = BigInt(`0x${Buffer.from(bytes).toString('hex')}`)
  let digits = ''
  for (let i = 0; i < length; i++) {
    digits = alphabet.charAt(Number(rest % 62n)) + digits
    rest /= 62n
  }
  return digits
}
