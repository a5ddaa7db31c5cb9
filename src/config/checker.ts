import type { z } from 'zod'
import { formatPosition, type SourcePosition } from '../policy/source-position.ts'
import { describeIssue } from './describe-issue.ts'
import { knownKeys } from './schema-at.ts'
import { nearest } from './nearest.ts'
import { ConfigError, type Problem } from './problem.ts'
import type { Path, YamlSource } from './yaml-source.ts'

type Issue = z.core.$ZodIssue

/** Checks parts of a file against schemas and collects what is wrong, so that all of it is told at once. */
export class Checker {
  readonly problems: Problem[] = []
  readonly source: YamlSource
  /** Names what a value came from when it did not come from the file. */
  readonly #elsewhere: (path: Path) => string | undefined

  constructor(source: YamlSource, elsewhere: (path: Path) => string | undefined = () => undefined) {
    this.source = source
    this.#elsewhere = elsewhere
  }

  /** The value that `schema` makes of a part of the file; undefined when something is wrong with it. */
  check<T>(schema: z.ZodType<T>, value: unknown, path: Path): T | undefined {
    const result = schema.safeParse(value, { error: describeIssue })
    if (result.success) return result.data
    for (const issue of result.error.issues) this.#report(schema, issue, path)
    return undefined
  }

  /** Adds a problem with the value at `path`. */
  add(path: Path, message: string): void {
    this.#add(path, this.source.valuePosition(path), message)
  }

  /** Adds a problem with the key that leads to `path`. */
  addAtKey(path: Path, message: string): void {
    this.#add(path, this.source.keyPosition(path), message)
  }

  /** Throws `ConfigError` when there is any problem. */
  finish(): void {
    if (this.problems.length > 0) throw new ConfigError(this.problems)
  }

  #report(schema: z.ZodType, issue: Issue, base: Path): void {
    const path = [...base, ...(issue.path as Path)]
    if (issue.code === 'unrecognized_keys') {
      this.#reportUnknown(issue.keys, knownKeys(schema, issue.path as Path), path)
    } else if (issue.code === 'invalid_key') {
      this.addAtKey(path, issue.message)
    } else {
      this.add(path, issue.message)
    }
  }

  #reportUnknown(keys: readonly string[], known: readonly string[], path: Path): void {
    for (const key of keys) {
      const meant = nearest(key, known)
      const hint =
        meant === undefined ? `expected one of ${known.join(', ')}` : `did you mean ${meant}`
      this.addAtKey([...path, key], `is not a known key, ${hint}`)
    }
  }

  #add(path: Path, position: SourcePosition, message: string): void {
    const where = this.#elsewhere(path) ?? formatPosition(position)
    this.problems.push({ where, path: formatPath(path), message })
  }
}

/** `products.payments.callers[0]`. */
export function formatPath(path: Path): string {
  return path.reduce<string>((text, key) => {
    if (typeof key === 'number') return `${text}[${key}]`
    return text === '' ? key : `${text}.${key}`
  }, '')
}
