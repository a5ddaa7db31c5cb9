/** What a dynamic table holds: anything that knows its size as RFC 7541 4.1 counts it (at least 32). */
export interface SizedEntry {
  readonly size: number
}

/**
 * A dynamic table of RFC 7541 2.3.2: newest first, bounded in bytes. A ring, so that inserting moves nothing.
 */
export class DynamicTable<Entry extends SizedEntry> {
  readonly #onEvict: ((entry: Entry) => void) | undefined
  readonly #ring: (Entry | undefined)[] = []
  readonly #mask: number
  #maxBytes: number
  #bytes = 0
  #oldest = 0
  #inserted = 0

  /** `capacityBytes` is the most that `resize` will ever be given. */
  constructor(capacityBytes: number, onEvict?: (entry: Entry) => void) {
    this.#maxBytes = capacityBytes
    this.#onEvict = onEvict
    let slots = 1
    while (slots < capacityBytes / 32) slots *= 2
    this.#mask = slots - 1
  }

  get length(): number {
    return this.#inserted - this.#oldest
  }

  get bytes(): number {
    return this.#bytes
  }

  get maxBytes(): number {
    return this.#maxBytes
  }

  /** How many entries were ever inserted: the number that the next one gets. */
  get inserted(): number {
    return this.#inserted
  }

  /** The entry `age` insertions back; 0 is the newest. */
  at(age: number): Entry | undefined {
    return age < this.length ? this.#ring[(this.#inserted - 1 - age) & this.#mask] : undefined
  }

  /** An entry larger than the table empties it and is not kept (RFC 7541 4.4); returns whether it was kept. */
  insert(entry: Entry): boolean {
    this.#evictTo(this.#maxBytes - entry.size)
    if (entry.size > this.#maxBytes) return false
    this.#ring[this.#inserted & this.#mask] = entry
    this.#inserted++
    this.#bytes += entry.size
    return true
  }

  resize(maxBytes: number): void {
    this.#maxBytes = maxBytes
    this.#evictTo(maxBytes)
  }

  #evictTo(bytes: number): void {
    while (this.#bytes > bytes && this.length > 0) {
      const slot = this.#oldest++ & this.#mask
      const entry = this.#ring[slot]
      this.#ring[slot] = undefined
      if (entry === undefined) continue
      this.#bytes -= entry.size
      this.#onEvict?.(entry)
    }
  }
}
