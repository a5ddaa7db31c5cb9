import { type ApiKeyEntry, ApiKeyTable } from '../policy/api-key-table.ts'
import { ApiKeys } from '../policy/api-keys.ts'
import { ConfigError, type Problem } from './problem.ts'

/** More duplicates than this are not told one by one. */
const mostProblems = 1_000

/** Gathers the entries of a keys file, whichever way they are read, and finds what several of them say together. */
export class KeyCollector {
  readonly #file: string
  readonly #table: ApiKeyTable
  readonly #problems: Problem[] = []

  /** `expected`: entries to make room for. */
  constructor(file: string, expected: number) {
    this.#file = file
    this.#table = new ApiKeyTable(expected)
  }

  /** `column`: where the entry begins on its line. */
  add(entry: ApiKeyEntry, column: number): void {
    const duplicate = this.#table.add(entry)
    if (duplicate === undefined || this.#problems.length >= mostProblems) return
    const { field, line } = duplicate
    this.#problems.push({
      where: `${this.#file}:${entry.line}:${column}`,
      path: 'keys',
      message: `key ${entry.id} has the ${field} of the entry in line ${line}, expected each once`,
    })
  }

  /** Throws `ConfigError` with `others` and what was found here, when there is any. */
  finish(others: readonly Problem[] = []): ApiKeys {
    const problems = [...others, ...this.#problems]
    if (problems.length > 0) throw new ConfigError(problems)
    return ApiKeys.from(this.#table)
  }
}
