const slots = 64

/**
 * Remembers the last few fields that went out as literals, to tell those that repeat. Only hashes, one for each of 64 slots: a
 * collision costs a literal more or a table entry in vain, and nothing that a peer sent is kept alive.
 */
export class RecentFields {
  #hashes: Uint32Array | undefined

  /** True when this field was here before and was not pushed out since. `name` is a number that stands for the name. */
  isSecondSight(name: number, value: string): boolean {
    this.#hashes ??= new Uint32Array(slots)
    const hash = hashOf(name, value)
    const slot = (hash >>> 8) & (slots - 1)
    if (this.#hashes[slot] === hash) return true
    this.#hashes[slot] = hash
    return false
  }
}

/** FNV-1a, never 0, which means an empty slot. */
function hashOf(name: number, value: string): number {
  let hash = Math.imul(0x811c9dc5 ^ name, 0x01000193)
  for (let i = 0; i < value.length; i++) {
    hash = Math.imul(hash ^ value.charCodeAt(i), 0x01000193)
  }
  return ((hash ^ (hash >>> 15)) | 1) >>> 0
}
