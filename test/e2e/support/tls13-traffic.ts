import { createCipheriv, createDecipheriv, createHash, createHmac } from 'node:crypto'
import { uint, vector } from './tls-bytes.ts'

export interface TlsContent {
  readonly type: number
  readonly content: Buffer
}

/** One direction under one secret: AES-128-GCM, with a counter as nonce (RFC 8446 5.2, 5.3). */
export class Traffic {
  readonly #secret: Buffer
  readonly #key: Buffer
  readonly #iv: Buffer
  #sequence = 0n

  constructor(secret: Buffer) {
    this.#secret = secret
    this.#key = expandLabel(secret, 'key', Buffer.alloc(0), 16)
    this.#iv = expandLabel(secret, 'iv', Buffer.alloc(0), 12)
  }

  get finishedKey(): Buffer {
    return expandLabel(this.#secret, 'finished', Buffer.alloc(0))
  }

  next(): Traffic {
    return new Traffic(expandLabel(this.#secret, 'traffic upd', Buffer.alloc(0)))
  }

  seal(type: number, content: Buffer): Buffer {
    const inner = Buffer.concat([content, uint(1, type)])
    const header = Buffer.concat([Buffer.from([23, 3, 3]), uint(2, inner.length + 16)])
    const cipher = createCipheriv('aes-128-gcm', this.#key, this.#nonce()).setAAD(header)
    this.#sequence++
    return Buffer.concat([header, cipher.update(inner), cipher.final(), cipher.getAuthTag()])
  }

  /** Throws for a record that is not the next one under this secret. */
  open(record: Buffer): TlsContent {
    if (record[0] !== 23) return { type: record[0] ?? 0, content: record.subarray(5) }
    const decipher = createDecipheriv('aes-128-gcm', this.#key, this.#nonce())
    decipher.setAAD(record.subarray(0, 5)).setAuthTag(record.subarray(-16))
    const inner = Buffer.concat([decipher.update(record.subarray(5, -16)), decipher.final()])
    this.#sequence++
    let end = inner.length - 1
    while (inner[end] === 0) end--
    return { type: inner[end] ?? 0, content: inner.subarray(0, end) }
  }

  #nonce(): Buffer {
    const nonce = Buffer.from(this.#iv)
    const counter = Buffer.alloc(8)
    counter.writeBigUInt64BE(this.#sequence)
    for (let i = 0; i < 8; i++) nonce[4 + i] = (nonce[4 + i] ?? 0) ^ (counter[i] ?? 0)
    return nonce
  }
}

export function hashOf(bytes: Buffer | string): Buffer {
  return createHash('sha256').update(bytes).digest()
}

export function hmac(key: Buffer, bytes: Buffer): Buffer {
  return createHmac('sha256', key).update(bytes).digest()
}

/** HKDF-Extract (RFC 5869 2.2). */
export function extract(salt: Buffer, material: Buffer): Buffer {
  return hmac(salt, material)
}

/** HKDF-Expand-Label (RFC 8446 7.1), for lengths up to one hash. */
export function expandLabel(secret: Buffer, label: string, context: Buffer, length = 32): Buffer {
  const info = [uint(2, length), vector(1, Buffer.from(`tls13 ${label}`)), vector(1, context)]
  return hmac(secret, Buffer.concat([...info, uint(1, 1)])).subarray(0, length)
}

/** Derive-Secret (RFC 8446 7.1). */
export function deriveSecret(secret: Buffer, messages: string, label = 'derived'): Buffer {
  return expandLabel(secret, label, hashOf(messages))
}

/** The whole record that begins there, if it has come. */
export function recordAt(received: Buffer, at: number): Buffer | undefined {
  if (received.length < at + 5) return undefined
  const end = at + 5 + received.readUInt16BE(at + 3)
  return received.length < end ? undefined : received.subarray(at, end)
}
