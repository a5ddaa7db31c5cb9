import type { HeaderField } from './header-field.ts'
import { type Http2Limits, maxPathBytes } from './limits.ts'

/**
 * The fields of one header block as they are decoded, up to the limits. What would go above them is not kept, but decoding
 * goes on, so that the HPACK table stays the same at both ends. Reused from block to block.
 */
export class FieldList {
  readonly fields: HeaderField[] = []
  /** Names that came as never-indexed literals (RFC 7541 6.2.3): to be sent on as such. */
  neverIndexed: readonly string[] = noNames
  isTooLarge = false
  /** Too large, and the path would be so alone. */
  isPathTooLong = false
  readonly #maxBytes: number
  readonly #maxFields: number
  #bytes = 0

  constructor(limits: Http2Limits) {
    this.#maxBytes = limits.maxHeaderListBytes
    this.#maxFields = limits.maxHeaderFields
  }

  clear(): void {
    this.fields.length = 0
    this.neverIndexed = noNames
    this.isTooLarge = false
    this.isPathTooLong = false
    this.#bytes = 0
  }

  add(field: HeaderField): void {
    const bytes = this.#bytes + field.size
    if (bytes > this.#maxBytes || this.fields.length >= this.#maxFields) {
      this.#drop(field)
    } else {
      this.#bytes = bytes
      this.fields.push(field)
    }
  }

  addNeverIndexed(field: HeaderField): void {
    this.add(field)
    if (!this.isTooLarge) this.neverIndexed = [...this.neverIndexed, field.name]
  }

  #drop({ kind, value }: HeaderField): void {
    this.isTooLarge = true
    if (kind === ':path' && value.length > maxPathBytes) this.isPathTooLong = true
  }
}

const noNames: readonly string[] = []
