import type { TrustState } from '../../policy/trust-state.ts'
import { describeTrustChange } from './trust-change.ts'

/** One trust state as the page tells of it. */
export interface Epoch {
  readonly epoch: number
  /** Since when it held, milliseconds since 1970. */
  readonly atMs: number
  /** What was different from the one before, one sentence each. */
  readonly changes: readonly string[]
}

const mostEpochs = 100
const mostStates = 8
const mostKeysHeld = 200_000

/** The trust states of the last while, so that a decision is explained by the one that it was made by. */
export class TrustHistory {
  readonly #epochs: Epoch[]
  /** Newest last. */
  readonly #states: TrustState[]

  constructor(first: TrustState, atMs: number) {
    this.#states = [first]
    this.#epochs = [{ epoch: first.epoch, atMs, changes: ['the sidecar started'] }]
  }

  /** Newest first. */
  get epochs(): readonly Epoch[] {
    return this.#epochs.toReversed()
  }

  add(state: TrustState, atMs: number): void {
    const before = this.#states.at(-1)
    const changes = before === undefined ? [] : describeTrustChange(before, state)
    this.#epochs.push({ epoch: state.epoch, atMs, changes })
    if (this.#epochs.length > mostEpochs) this.#epochs.shift()
    this.#states.push(state)
    this.#forgetStates()
  }

  /** The state of this number, while it is held. */
  find(epoch: number): TrustState | undefined {
    return this.#states.find((state) => state.epoch === epoch)
  }

  /** A table of a million keys must not be held eight times. */
  #forgetStates(): void {
    while (this.#states.length > 1) {
      const keys = this.#states.slice(0, -1).reduce((sum, { apiKeys }) => sum + apiKeys.size, 0)
      if (this.#states.length <= mostStates && keys <= mostKeysHeld) return
      this.#states.shift()
    }
  }
}
