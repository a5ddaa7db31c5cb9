import type { ApiKeyEntry } from '../policy/api-key-table.ts'
import type { ApiKeys } from '../policy/api-keys.ts'
import { KeyCollector } from './key-collector.ts'
import { parseMoment, shapes } from './scalars.ts'

/**
 * Reads api-keys.yaml in the form in which `postern key create --append` writes it: `version: 1`, `keys:`, then one entry to a
 * line, `- { id: ..., sha256: "...", ... }`, with comments between.
 *
 * A million keys are 150 MB. The YAML parser takes 100 us and some KiB for each; this takes 2 us, keeps nothing but the
 * table, and may be given the text piece by piece. It is YAML all the same: whatever it accepts means what the YAML parser
 * says (a property test compares them), and what it does not know it leaves to that.
 */
export class KeyLines {
  readonly #collector: KeyCollector
  readonly #moments = new Moments()
  #expects: 'version' | 'keys' | 'first entry' | 'entry' = 'version'
  #indent = ''
  #line = 0
  #rest = ''
  #fits = true

  /** `expected`: entries to make room for. */
  constructor(file: string, expected: number) {
    this.#collector = new KeyCollector(file, expected)
  }

  /** The line that is read, or that did not fit; from 1. */
  get line(): number {
    return this.#line
  }

  /** Reads the next piece of the text. False: some line is not of this form, and more of it is of no use. */
  push(piece: string): boolean {
    const text = this.#rest + piece
    let start = 0
    for (let end = text.indexOf('\n'); end !== -1 && this.#fits; end = text.indexOf('\n', start)) {
      this.#readLine(text.slice(start, end))
      start = end + 1
    }
    this.#rest = text.slice(start)
    if (this.#rest.length > longestLine) this.#fits = false
    return this.#fits
  }

  /** The keys, or undefined when the text is not of this form. Throws `ConfigError` for duplicates. */
  finish(): ApiKeys | undefined {
    if (this.#fits && this.#rest !== '') this.#readLine(this.#rest)
    if (!this.#fits || this.#expects !== 'entry') return undefined
    return this.#collector.finish()
  }

  #readLine(line: string): void {
    this.#line++
    this.#fits = line.length <= longestLine && (emptyLine.test(line) || this.#readContent(line))
  }

  #readContent(line: string): boolean {
    switch (this.#expects) {
      case 'version':
        this.#expects = 'keys'
        return versionLine.test(line)
      case 'keys':
        this.#expects = 'first entry'
        return keysLine.test(line)
      case 'first entry':
        this.#indent = /^ */.exec(line)?.[0] ?? ''
        this.#expects = 'entry'
        return this.#readEntry(line)
      case 'entry':
        return this.#readEntry(line)
    }
  }

  #readEntry(line: string): boolean {
    const opening = `${this.#indent}- { `
    if (!line.startsWith(opening)) return false
    const entry = this.#parseEntry(line, opening.length)
    if (entry === undefined) return false
    this.#collector.add(entry, this.#indent.length + 3)
    return true
  }

  #parseEntry(line: string, from: number): ApiKeyEntry | undefined {
    const fields = readPairs(line, from)
    if (fields === undefined) return undefined
    const { id = '', sha256 = '', product = '', consumer = '', notBefore, expires } = fields
    const notBeforeMs = notBefore === undefined ? -Infinity : this.#moments.parse(notBefore)
    const expiresMs = expires === undefined ? Infinity : this.#moments.parse(expires)
    const isWellFormed =
      shapes.keyId.test(id) &&
      shapes.sha256.test(sha256) &&
      shapes.name.test(product) &&
      shapes.consumer.test(consumer)
    if (!isWellFormed || notBeforeMs === undefined || expiresMs === undefined) return undefined
    return { id, sha256, product, consumer, notBeforeMs, expiresMs, line: this.#line }
  }
}

const longestLine = 4_096

const lineEnd = '(?: +#[^\\r]*| *)\\r?$'
const emptyLine = /^(?: *#[^\r]*| *)\r?$/
const versionLine = new RegExp(`^version: 1${lineEnd}`)
const keysLine = new RegExp(`^keys:${lineEnd}`)
const entryEnd = new RegExp(lineEnd, 'y')

/**
 * One pair of a flow map and what follows it. Quoted texts have no escapes; plain ones begin with a letter, so that none is
 * a number, or are dates.
 */
const pair =
  /(id|sha256|product|consumer|notBefore|expires): (?:"([ !#-[\]-~]*)"|([A-Za-z_][\w.@+-]*|\d{4}-\d{2}-\d{2}(?:T[\d:.]+(?:Z|[+-][\d:]+))?))(, | \})/y

/** Plain texts that YAML reads as something else. */
const noText = /^(?:null|Null|NULL|true|True|TRUE|false|False|FALSE)$/

interface Fields {
  id?: string
  sha256?: string
  product?: string
  consumer?: string
  notBefore?: string
  expires?: string
}

function readPairs(line: string, from: number): Fields | undefined {
  const fields: Fields = {}
  pair.lastIndex = from
  for (let match = pair.exec(line); match !== null; match = pair.exec(line)) {
    const [, key, quoted, plain, follows] = match as unknown as Pair
    if (fields[key] !== undefined) return undefined
    if (plain !== undefined && noText.test(plain)) return undefined
    fields[key] = quoted ?? plain ?? ''
    if (follows === ', ') continue
    entryEnd.lastIndex = pair.lastIndex
    return entryEnd.test(line) ? fields : undefined
  }
  return undefined
}

/** What `pair` captures. */
type Pair = readonly [
  text: string,
  key: keyof Fields,
  quoted: string | undefined,
  plain: string | undefined,
  follows: string,
]

/** Keys share their dates with many others, and reading one takes as long as all the rest of an entry. */
class Moments {
  readonly #known = new Map<string, number | undefined>()

  parse(written: string): number | undefined {
    if (this.#known.has(written)) return this.#known.get(written)
    if (this.#known.size >= 1_000) this.#known.clear()
    const ms = parseMoment(written)
    this.#known.set(written, ms)
    return ms
  }
}
