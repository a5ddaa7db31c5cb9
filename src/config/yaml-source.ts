import {
  type Alias,
  Composer,
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  Parser,
  type YAMLMap,
  type YAMLSeq,
} from 'yaml'
import { formatPosition, type SourcePosition } from '../policy/source-position.ts'
import { readPlainYaml } from './plain-yaml.ts'
import { ConfigError, type Problem } from './problem.ts'
import { boundedTokens, Excess } from './yaml-bounds.ts'
import type { Place, Places } from './yaml-places.ts'

/** Keys and indexes that lead to a value. */
export type Path = readonly (string | number)[]

export interface YamlLimits {
  /** Largest text, characters. */
  readonly maxLength: number
}

const deepestNesting = 16
const mostAliases = 100
const mostValues = 2_000_000

const tooDeep = `is nested too deeply, expected at most ${deepestNesting} levels`
const tooMany = `holds more than ${mostValues} values, aliases counted each time`

/**
 * A YAML 1.2 text (core schema) as a plain value that knows the place of each part. Bounded in length, depth, number of
 * values and aliases. Duplicate keys, tags, several documents and other versions of YAML are refused.
 */
export class YamlSource {
  readonly file: string
  readonly value: unknown
  readonly #places: Places
  readonly #lines: LineCounter

  private constructor(file: string, value: unknown, places: Places, lines: LineCounter) {
    this.file = file
    this.value = value
    this.#places = places
    this.#lines = lines
  }

  /** Throws `ConfigError` with all problems of the syntax. */
  static parse(text: string, file: string, limits: YamlLimits): YamlSource {
    if (text.length > limits.maxLength) {
      throw problemOf(file, `is larger than ${limits.maxLength} characters`)
    }
    const plain = readPlainYaml(text)
    if (plain !== undefined) return new YamlSource(file, plain.value, plain.places, plain.lines)
    return YamlSource.parseAny(text, file)
  }

  /** As `parse`, by the YAML parser, whatever the form and size. */
  static parseAny(text: string, file: string): YamlSource {
    const lines = new LineCounter()
    try {
      const document = parseBounded(text, lines)
      const reader = new Reader(document)
      const value = reader.read()
      const faults = [...syntaxFaults(document), ...reader.faults]
      if (faults.length === 0) return new YamlSource(file, value, reader.places, lines)
      throw new ConfigError(faults.map((fault) => toProblem(file, lines, fault)))
    } catch (thrown) {
      if (thrown instanceof Excess) throw new ConfigError([toProblem(file, lines, thrown)])
      throw thrown
    }
  }

  /** The place of a value; of the nearest thing around it when it is missing. */
  valuePosition(path: Path): SourcePosition {
    return this.#position(path, 'valueAt')
  }

  /** The place of the key that leads to a value. */
  keyPosition(path: Path): SourcePosition {
    return this.#position(path, 'keyAt')
  }

  #position(path: Path, which: keyof Place): SourcePosition {
    let offset = this.#places.root
    let value = this.value
    for (const [depth, key] of path.entries()) {
      const place = isObject(value) ? this.#places.of.get(value)?.get(key) : undefined
      if (place === undefined) break
      offset = depth === path.length - 1 ? place[which] : place.keyAt
      value = (value as Record<string | number, unknown>)[key]
    }
    return positionAt(this.file, this.#lines, offset)
  }
}

interface Fault {
  readonly offset: number
  readonly message: string
}

/** As the library's `parseDocument`, and bounded. */
function parseBounded(text: string, lines: LineCounter): Document.Parsed {
  const composer = new Composer({
    version: '1.2',
    schema: 'core',
    stringKeys: true,
    // The library compares each key with all before it: 100,000 keys take minutes. `Reader` looks for duplicates itself.
    uniqueKeys: false,
  })
  lines.addNewLine(0)
  const tokens = boundedTokens(text, new Parser(lines.addNewLine), deepestNesting)
  const [first, second] = composer.compose(tokens, true, text.length)
  if (first === undefined) throw new TypeError('the composer was told to make a document')
  if (second !== undefined) throw new Excess(second.range[0], 'holds more than one document')
  return first
}

function syntaxFaults(document: Document.Parsed): Fault[] {
  const faults = [...document.errors, ...document.warnings].map(({ pos, message }) => ({
    offset: pos[0],
    message: `is not valid YAML: ${withoutSource(message)}`,
  }))
  const { explicit, version } = document.directives.yaml
  if (explicit !== true || version === '1.2') return faults
  return [{ offset: 0, message: `is YAML ${version}, expected 1.2` }, ...faults]
}

/** Some messages end in what stands in the file, which may be a key. */
function withoutSource(message: string): string {
  return message.replace(/: ".*/s, '')
}

/** Turns nodes into plain values. Throws `Excess` where it stops. */
class Reader {
  readonly faults: Fault[] = []
  readonly places: Places = { root: 0, of: new Map() }
  readonly #document: Document.Parsed
  #values = 0
  #aliases = 0

  constructor(document: Document.Parsed) {
    this.#document = document
  }

  read(): unknown {
    const { contents } = this.#document
    this.places.root = offsetOf(contents) ?? 0
    return this.#value(contents, 0)
  }

  #value(node: unknown, depth: number): unknown {
    const offset = offsetOf(node) ?? this.places.root
    if (depth > deepestNesting) throw new Excess(offset, tooDeep)
    if (++this.#values > mostValues) throw new Excess(offset, tooMany)
    if (isAlias(node)) return this.#value(this.#resolve(node, offset), depth + 1)
    if (hasTag(node)) this.faults.push({ offset, message: 'has a tag, expected a plain value' })
    if (isScalar(node)) return node.value
    if (isMap(node)) return this.#map(node, depth)
    if (isSeq(node)) return this.#list(node, depth)
    return null
  }

  #resolve(alias: Alias, offset: number): unknown {
    if (++this.#aliases > mostAliases) {
      throw new Excess(offset, `has more than ${mostAliases} aliases`)
    }
    const target = alias.resolve(this.#document)
    if (target === undefined) throw new Excess(offset, `alias *${alias.source} has no anchor`)
    return target
  }

  #map(node: YAMLMap, depth: number): unknown {
    const value: Record<string, unknown> = {}
    const places = new Map<string | number, Place>()
    for (const { key, value: child } of node.items) {
      const keyAt = offsetOf(key) ?? this.places.root
      const name = isScalar(key) ? String(key.value) : undefined
      if (name === undefined || name === '__proto__') {
        this.faults.push({ offset: keyAt, message: 'has a key that is no plain name' })
      } else if (places.has(name)) {
        this.faults.push({ offset: keyAt, message: `has the key ${JSON.stringify(name)} twice` })
      } else {
        places.set(name, { keyAt, valueAt: offsetOf(child) ?? keyAt })
        value[name] = this.#value(child, depth + 1)
      }
    }
    this.places.of.set(value, places)
    return value
  }

  #list(node: YAMLSeq, depth: number): unknown {
    const value: unknown[] = []
    const places = new Map<string | number, Place>()
    for (const [index, child] of node.items.entries()) {
      const at = offsetOf(child) ?? offsetOf(node) ?? this.places.root
      places.set(index, { keyAt: at, valueAt: at })
      value.push(this.#value(child, depth + 1))
    }
    this.places.of.set(value, places)
    return value
  }
}

function offsetOf(node: unknown): number | undefined {
  return isObject(node) ? (node as Node).range?.[0] : undefined
}

function hasTag(node: unknown): boolean {
  return (isScalar(node) || isMap(node) || isSeq(node)) && node.tag !== undefined
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null
}

function toProblem(file: string, lines: LineCounter, fault: Fault): Problem {
  const where = formatPosition(positionAt(file, lines, fault.offset))
  return { where, path: '', message: fault.message }
}

function positionAt(file: string, lines: LineCounter, offset: number): SourcePosition {
  const { line, col } = lines.linePos(offset)
  return { file, line: Math.max(line, 1), column: Math.max(col, 1) }
}

function problemOf(file: string, message: string): ConfigError {
  return new ConfigError([{ where: file, path: '', message }])
}
