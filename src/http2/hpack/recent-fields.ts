const slots = 64

/** Longer values would push out most of a table of 4096 bytes. */
const longestValue = 1_024

/**
 * Remembers the last few fields that went out as literals, to tell those that repeat. One slot for each of 64 cheap hashes:
 * a collision forgets a field, which costs one more literal and nothing else.
 */
export class RecentFields<Name> {
  readonly #names: (Name | undefined)[] = []
  readonly #values: string[] = []

  /** True when this field was here before and was not pushed out since. */
  isSecondSight(name: Name, value: string, nameLength: number): boolean {
    if (value.length > longestValue) return false
    const slot = slotOf(nameLength, value)
    if (this.#names[slot] === name && this.#values[slot] === value) return true
    this.#names[slot] = name
    this.#values[slot] = value
    return false
  }
}

/** The last characters differ most often; a full hash would cost more than a collision. */
function slotOf(nameLength: number, value: string): number {
  const { length } = value
  const last = length === 0 ? 0 : value.charCodeAt(length - 1)
  const middle = length === 0 ? 0 : value.charCodeAt(length >>> 1)
  return (nameLength * 7 + length * 31 + last * 17 + middle * 5) & (slots - 1)
}
