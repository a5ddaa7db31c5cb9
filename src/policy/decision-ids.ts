/**
 * Ids of decisions: unique across processes (64 random bits, drawn once) and ordered within one (a counter). They are
 * handed to callers and are no secret, so drawing randomness for each would only cost.
 */
export class DecisionIds {
  readonly #prefix: string
  #count = 0

  /** `random`: at least 8 random bytes. */
  constructor(random: Buffer) {
    this.#prefix = `d_${random.readBigUInt64BE(0).toString(36)}_`
  }

  next(): string {
    return this.#prefix + (this.#count++).toString(36)
  }
}
