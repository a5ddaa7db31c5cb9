import { hash } from 'node:crypto'
import { longestApiKey } from './api-key.ts'
import { type ApiKey, type ApiKeyEntry, ApiKeyTable } from './api-key-table.ts'

/**
 * What a caller presented: the key itself, or a name for one that was presented before. Judging a live connection again goes
 * by `sha256`, so that no key has to be kept; `id` is for `explain` and `replay` and proves nothing.
 */
export type PresentedKey = string | { readonly sha256: string } | { readonly id: string }

/** The parsed api-keys.yaml, found by digest. Immutable; a lookup costs the same among ten keys and a million. */
export class ApiKeys {
  static readonly empty = new ApiKeys(new ApiKeyTable())

  readonly #table: ApiKeyTable

  private constructor(table: ApiKeyTable) {
    this.#table = table
  }

  /** Takes the table over: nothing may be added to it afterwards. */
  static from(table: ApiKeyTable): ApiKeys {
    return new ApiKeys(table)
  }

  get size(): number {
    return this.#table.size
  }

  /** A text of more than 256 characters is no key and is not hashed. */
  find(presented: PresentedKey): ApiKey | undefined {
    const row = this.#rowOf(presented)
    return row === undefined ? undefined : this.#table.read(row)
  }

  /** In the order of the file. */
  *entries(): Generator<ApiKeyEntry> {
    for (let row = 0; row < this.#table.size; row++) {
      yield { ...this.#table.read(row), sha256: this.#table.readDigest(row) }
    }
  }

  #rowOf(presented: PresentedKey): number | undefined {
    if (typeof presented === 'string') {
      if (presented.length > longestApiKey) return undefined
      return this.#table.rowOfDigest(hash('sha256', presented, 'binary'))
    }
    if ('sha256' in presented) {
      return this.#table.rowOfDigest(Buffer.from(presented.sha256, 'hex').toString('latin1'))
    }
    return this.#table.rowOfId(presented.id)
  }
}
