/** How many connections each address holds. */
export class AddressCounts {
  readonly #most: number
  readonly #counts = new Map<string, number>()

  /** `most`: of one address. */
  constructor(most: number) {
    this.#most = most
  }

  /** Counts one more; false: there are too many, and it is not counted. */
  add(address: string): boolean {
    const count = this.#counts.get(address) ?? 0
    if (count >= this.#most) return false
    this.#counts.set(address, count + 1)
    return true
  }

  delete(address: string): void {
    const count = this.#counts.get(address) ?? 0
    if (count > 1) this.#counts.set(address, count - 1)
    else this.#counts.delete(address)
  }
}
