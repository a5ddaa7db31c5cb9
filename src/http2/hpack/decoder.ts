import { BrokenRule } from '../errors.ts'
import type { FieldList } from '../field-list.ts'
import { HeaderField } from '../header-field.ts'
import { headerTableBytes } from '../limits.ts'
import { DynamicTable } from './dynamic-table.ts'
import { huffmanDecode } from './huffman.ts'
import { staticFields, staticLength } from './static-table.ts'

/** Above every length and index that can be meant, and far from where arithmetic on 32 bits ends. */
const largestInteger = 2 ** 24

const nothing = Buffer.alloc(0)

/**
 * Decodes header blocks of one direction of one connection, RFC 7541. A block that does not decode throws `BrokenRule`
 * hpack_invalid, after which the connection cannot go on: the tables differ.
 */
export class HpackDecoder {
  readonly #table = new DynamicTable<HeaderField>(headerTableBytes)
  #block: Buffer = nothing
  #at = 0
  #end = 0

  /** Bytes in the dynamic table as RFC 7541 4.1 counts them. */
  get tableBytes(): number {
    return this.#table.bytes
  }

  /** Decodes `block[start, end)`, one whole header block, and adds its fields to `list`. */
  decode(block: Buffer, start: number, end: number, list: FieldList): void {
    this.#block = block
    this.#at = start
    this.#end = end
    this.#sizeUpdates()
    while (this.#at < this.#end) this.#field(list)
    // A view would keep the whole chunk that it came in alive on an idle connection.
    this.#block = nothing
  }

  /** RFC 7541 4.2: only at the beginning of a block. */
  #sizeUpdates(): void {
    while (this.#at < this.#end && ((this.#block[this.#at] ?? 0) & 0xe0) === 0x20) {
      const bytes = this.#integer(0x1f)
      if (bytes > headerTableBytes) throw new BrokenRule('hpack_invalid')
      this.#table.resize(bytes)
    }
  }

  #field(list: FieldList): void {
    const first = this.#block[this.#at] ?? 0
    if (first >= 0x80) {
      list.add(this.#entry(this.#integer(0x7f)))
    } else if (first >= 0x40) {
      const field = this.#literal(0x3f)
      this.#table.insert(field)
      list.add(field)
    } else if (first >= 0x20) {
      throw new BrokenRule('hpack_invalid')
    } else if (first >= 0x10) {
      list.addNeverIndexed(this.#literal(0x0f))
    } else {
      list.add(this.#literal(0x0f))
    }
  }

  #literal(prefix: number): HeaderField {
    const index = this.#integer(prefix)
    if (index !== 0) return this.#entry(index).withValue(this.#string())
    const name = this.#string()
    return HeaderField.of(name, this.#string())
  }

  #entry(index: number): HeaderField {
    const field =
      index <= staticLength ? staticFields[index] : this.#table.at(index - staticLength - 1)
    if (field === undefined) throw new BrokenRule('hpack_invalid')
    return field
  }

  #string(): string {
    const isHuffman = (this.#block[this.#at] ?? 0) >= 0x80
    const length = this.#integer(0x7f)
    const start = this.#at
    const end = start + length
    if (end > this.#end) throw new BrokenRule('hpack_invalid')
    this.#at = end
    if (!isHuffman) return this.#block.toString('latin1', start, end)
    const text = huffmanDecode(this.#block, start, end)
    if (text === undefined) throw new BrokenRule('hpack_invalid')
    return text
  }

  /** RFC 7541 5.1; `prefix` is the mask of the first byte. */
  #integer(prefix: number): number {
    let value = this.#byte() & prefix
    if (value < prefix) return value
    for (let shift = 0; shift <= 21; shift += 7) {
      const byte = this.#byte()
      value += (byte & 0x7f) << shift
      if (byte < 0x80) {
        if (value > largestInteger) break
        return value
      }
    }
    throw new BrokenRule('hpack_invalid')
  }

  #byte(): number {
    if (this.#at >= this.#end) throw new BrokenRule('hpack_invalid')
    return this.#block[this.#at++] ?? 0
  }
}
