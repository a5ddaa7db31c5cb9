/** What is known of an API key. */
export interface ApiKey {
  /** What logs and records name; never the key. ASCII, at most 255 characters. */
  readonly id: string
  readonly product: string
  /** The customer or application that the key was issued to. ASCII. */
  readonly consumer: string
  /** Not valid before this moment, milliseconds since 1970; -Infinity: no such moment. */
  readonly notBeforeMs: number
  /** Not valid from this moment on, milliseconds since 1970; Infinity: no such moment. */
  readonly expiresMs: number
  /** Line of the file, from 1. */
  readonly line: number
}

/** One entry of api-keys.yaml. */
export interface ApiKeyEntry extends ApiKey {
  /** SHA-256 of the whole key, 64 lower-case hex characters. */
  readonly sha256: string
}

/** Why an entry was not added. */
export interface DuplicateKey {
  readonly field: 'id' | 'sha256'
  /** Line of the entry that has it already. */
  readonly line: number
}

const digestSize = 32
const free = 0

/**
 * A growing table of API keys with two hash indexes. Its columns are typed arrays: a million keys take about 110 MB outside
 * the JavaScript heap, where a Map of objects takes three times that, and every garbage collection would walk it.
 *
 * The time of a lookup tells at most something about digests, and a digest tells nothing about its key.
 */
export class ApiKeyTable {
  #size = 0
  #capacity: number
  #digests: Buffer
  /** Id and consumer of each row, one after the other. */
  #texts: Buffer
  /** Where a row's texts begin; the next row's beginning is their end. */
  #textStarts: Uint32Array
  #idLengths: Uint8Array
  #products: Uint32Array
  #notBeforeMs: Float64Array
  #expiresMs: Float64Array
  #lines: Uint32Array
  /** Row + 1 at the slot of its digest or the next free one; twice as many slots as rows. */
  #byDigest: Uint32Array
  #byId: Uint32Array
  readonly #productNames: string[] = []
  readonly #productNumbers = new Map<string, number>()

  /** `expected`: rows to make room for; more are welcome. */
  constructor(expected = 0) {
    this.#capacity = Math.max(expected, 4)
    const rows = this.#capacity
    this.#digests = Buffer.alloc(rows * digestSize)
    this.#texts = Buffer.alloc(rows * 24)
    this.#textStarts = new Uint32Array(rows + 1)
    this.#idLengths = new Uint8Array(rows)
    this.#products = new Uint32Array(rows)
    this.#notBeforeMs = new Float64Array(rows)
    this.#expiresMs = new Float64Array(rows)
    this.#lines = new Uint32Array(rows)
    this.#byDigest = new Uint32Array(slotsFor(rows))
    this.#byId = new Uint32Array(slotsFor(rows))
  }

  get size(): number {
    return this.#size
  }

  /** Adds an entry, unless its id or digest is there already. */
  add(entry: ApiKeyEntry): DuplicateKey | undefined {
    if (this.#size === this.#capacity) this.#grow()
    const row = this.#size
    this.#digests.write(entry.sha256, row * digestSize, 'hex')
    const digest = this.#digests.toString('latin1', row * digestSize, (row + 1) * digestSize)
    const twin = this.rowOfDigest(digest)
    if (twin !== undefined) return { field: 'sha256', line: this.#lines[twin] ?? 0 }
    const namesake = this.rowOfId(entry.id)
    if (namesake !== undefined) return { field: 'id', line: this.#lines[namesake] ?? 0 }
    this.#write(row, entry)
    this.#size++
    claimSlot(this.#byDigest, digestHash(digest), row)
    claimSlot(this.#byId, textHash(entry.id), row)
    return undefined
  }

  /** `digest`: 32 characters, one for each byte: a hash hands that over three times as fast as a Buffer. */
  rowOfDigest(digest: string): number | undefined {
    if (digest.length !== digestSize) return undefined
    const mask = this.#byDigest.length - 1
    for (let slot = digestHash(digest) & mask; ; slot = (slot + 1) & mask) {
      const entry = this.#byDigest[slot] ?? free
      if (entry === free) return undefined
      if (this.#hasDigest(entry - 1, digest)) return entry - 1
    }
  }

  rowOfId(id: string): number | undefined {
    const mask = this.#byId.length - 1
    for (let slot = textHash(id) & mask; ; slot = (slot + 1) & mask) {
      const entry = this.#byId[slot] ?? free
      if (entry === free) return undefined
      if (this.#idAt(entry - 1) === id) return entry - 1
    }
  }

  read(row: number): ApiKey {
    return {
      id: this.#idAt(row),
      product: this.#productNames[this.#products[row] ?? 0] ?? '',
      consumer: this.#texts.toString('latin1', this.#idEnd(row), this.#textStarts[row + 1]),
      notBeforeMs: this.#notBeforeMs[row] ?? Infinity,
      expiresMs: this.#expiresMs[row] ?? -Infinity,
      line: this.#lines[row] ?? 0,
    }
  }

  /** Lower-case hex. */
  readDigest(row: number): string {
    return this.#digests.toString('hex', row * digestSize, (row + 1) * digestSize)
  }

  #write(row: number, entry: ApiKeyEntry): void {
    const start = this.#textStarts[row] ?? 0
    const end = start + entry.id.length + entry.consumer.length
    this.#texts = withRoom(this.#texts, end)
    this.#texts.write(entry.id + entry.consumer, start, 'latin1')
    this.#textStarts[row + 1] = end
    this.#idLengths[row] = entry.id.length
    this.#products[row] = this.#numberOf(entry.product)
    this.#notBeforeMs[row] = entry.notBeforeMs
    this.#expiresMs[row] = entry.expiresMs
    this.#lines[row] = entry.line
  }

  #numberOf(product: string): number {
    let number = this.#productNumbers.get(product)
    if (number === undefined) {
      number = this.#productNames.push(product) - 1
      this.#productNumbers.set(product, number)
    }
    return number
  }

  #hasDigest(row: number, digest: string): boolean {
    const start = row * digestSize
    for (let i = 0; i < digestSize; i++) {
      if (this.#digests[start + i] !== digest.charCodeAt(i)) return false
    }
    return true
  }

  #idAt(row: number): string {
    return this.#texts.toString('latin1', this.#textStarts[row], this.#idEnd(row))
  }

  #idEnd(row: number): number {
    return (this.#textStarts[row] ?? 0) + (this.#idLengths[row] ?? 0)
  }

  #grow(): void {
    this.#capacity *= 2
    const rows = this.#capacity
    this.#digests = withRoom(this.#digests, rows * digestSize)
    this.#textStarts = copyInto(new Uint32Array(rows + 1), this.#textStarts)
    this.#idLengths = copyInto(new Uint8Array(rows), this.#idLengths)
    this.#products = copyInto(new Uint32Array(rows), this.#products)
    this.#notBeforeMs = copyInto(new Float64Array(rows), this.#notBeforeMs)
    this.#expiresMs = copyInto(new Float64Array(rows), this.#expiresMs)
    this.#lines = copyInto(new Uint32Array(rows), this.#lines)
    this.#index(slotsFor(rows))
  }

  #index(slots: number): void {
    this.#byDigest = new Uint32Array(slots)
    this.#byId = new Uint32Array(slots)
    for (let row = 0; row < this.#size; row++) {
      claimSlot(this.#byDigest, this.#digests.readInt32BE(row * digestSize), row)
      claimSlot(this.#byId, textHash(this.#idAt(row)), row)
    }
  }
}

function slotsFor(rows: number): number {
  return 2 ** Math.ceil(Math.log2(rows * 2))
}

function claimSlot(slots: Uint32Array, hash: number, row: number): void {
  const mask = slots.length - 1
  let slot = hash & mask
  while (slots[slot] !== free) slot = (slot + 1) & mask
  slots[slot] = row + 1
}

/** A digest is as good as random already: its first four bytes will do. */
function digestHash(digest: string): number {
  return (
    (digest.charCodeAt(0) << 24) |
    (digest.charCodeAt(1) << 16) |
    (digest.charCodeAt(2) << 8) |
    digest.charCodeAt(3)
  )
}

/** FNV-1a, 32 bits. Ids come from the operator's file, so nobody aims at its collisions. */
function textHash(text: string): number {
  let hash = 0x811c9dc5
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193)
  return hash
}

function withRoom(bytes: Buffer, size: number): Buffer {
  if (size <= bytes.length) return bytes
  const larger = Buffer.alloc(Math.max(size, bytes.length * 2))
  bytes.copy(larger)
  return larger
}

function copyInto<T extends Uint8Array | Uint32Array | Float64Array>(target: T, source: T): T {
  target.set(source)
  return target
}
