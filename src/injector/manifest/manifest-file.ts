import {
  Composer,
  type Document,
  isMap,
  isNode,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  Parser,
} from 'yaml'
import { formatPath } from '../../config/checker.ts'
import type { Problem } from '../../config/problem.ts'
import { boundedTokens, Excess } from '../../config/yaml-bounds.ts'
import { messageOf } from '../../core/errors.ts'
import { formatPosition } from '../../policy/source-position.ts'
import { isEqual, isList, isMap as isJsonMap, type Json, type Path } from '../json.ts'
import { applySplices, NotEditable, type Splice, YamlEdit } from './yaml-edit.ts'

/** A text of manifests and the name that messages call it by. */
export interface ManifestText {
  readonly name: string
  readonly text: string
}

/** Deeper than any schema of Kubernetes. */
const deepestNesting = 64
/** Largest text of manifests, bytes or characters. */
export const longestManifest = 16 * 1024 * 1024

/** One YAML or JSON text with any number of documents, whose values can be changed in their places. */
export class ManifestFile {
  readonly name: string
  /** What each document says; change it by `set`. */
  readonly values: readonly Json[]
  readonly #text: string
  readonly #documents: readonly Document.Parsed[]
  readonly #lines: LineCounter
  readonly #changed: Json[]

  private constructor(
    source: ManifestText,
    documents: readonly Document.Parsed[],
    lines: LineCounter,
  ) {
    this.name = source.name
    this.#text = source.text
    this.#documents = documents
    this.#lines = lines
    this.values = documents.map((document) => document.toJS() as Json)
    this.#changed = [...this.values]
  }

  /** The file, or all that is wrong with its syntax. */
  static parse(source: ManifestText): ManifestFile | { readonly problems: readonly Problem[] } {
    const lines = new LineCounter()
    const problemAt = (offset: number, message: string) =>
      problemOf(source.name, lines, offset, '', message)
    try {
      const documents = parseBounded(source.text, lines)
      const problems = documents
        .flatMap(({ errors }) => errors)
        .map(({ pos, message }) => problemAt(pos[0], `is not valid YAML: ${message}`))
      return problems.length > 0 ? { problems } : new ManifestFile(source, documents, lines)
    } catch (thrown) {
      const offset = thrown instanceof Excess ? thrown.offset : 0
      return { problems: [problemAt(offset, messageOf(thrown))] }
    }
  }

  /** What a document says now. */
  current(document: number): Json {
    return this.#changed[document] ?? null
  }

  /** Puts a value in its place. */
  set(document: number, path: Path, value: Json): void {
    this.#changed[document] = withValueAt(this.current(document), path, value)
  }

  /** The text with everything that was set. What cannot be changed in its place is told in `problems`. */
  edited(): { readonly text: string; readonly problems: readonly Problem[] } {
    const splices: Splice[] = []
    const problems: Problem[] = []
    for (const [index, document] of this.#documents.entries()) {
      const edit = new YamlEdit(this.#text)
      try {
        edit.change(document.contents, this.values[index], this.current(index))
        splices.push(...edit.splices)
      } catch (thrown) {
        if (!(thrown instanceof NotEditable)) throw thrown
        const message = `cannot be changed: ${thrown.message}`
        problems.push(problemOf(this.name, this.#lines, thrown.offset, '', message))
      }
    }
    const text = applySplices(this.#text, splices)
    if (problems.length === 0 && splices.length > 0 && !this.#says(text)) {
      const message = 'is written in a way that cannot be edited by a program, edit it by hand'
      problems.push({ where: this.name, path: '', message })
    }
    return { text, problems }
  }

  /** A problem with the value that `path` leads to, or with the nearest thing around it. */
  problem(document: number, path: Path, message: string): Problem {
    const offset = this.#offsetOf(document, path)
    return problemOf(this.name, this.#lines, offset, formatPath(path), message)
  }

  /** What came out is read again before it is handed out. */
  #says(text: string): boolean {
    const read = ManifestFile.parse({ name: this.name, text })
    return read instanceof ManifestFile && isEqual(read.values, this.#changed)
  }

  #offsetOf(document: number, path: Path): number {
    let node: unknown = this.#documents[document]?.contents
    let offset = offsetOf(node) ?? 0
    for (const key of path) {
      const [at, child] = childOf(node, key)
      if (at === undefined) break
      offset = at
      node = child
    }
    return offset
  }
}

/** The offset of a key, or of an item, and what it leads to. */
function childOf(node: unknown, key: string | number): readonly [number | undefined, unknown] {
  if (isMap(node)) {
    const pair = node.items.find((one) => isScalar(one.key) && String(one.key.value) === key)
    return [offsetOf(pair?.key), pair?.value]
  }
  if (!isSeq(node) || typeof key !== 'number') return [undefined, undefined]
  return [offsetOf(node.items[key]), node.items[key]]
}

function offsetOf(node: unknown): number | undefined {
  return isNode(node) ? (node as Node).range?.[0] : undefined
}

function parseBounded(text: string, lines: LineCounter): Document.Parsed[] {
  if (text.length > longestManifest) {
    throw new Excess(0, `is larger than ${longestManifest} characters`)
  }
  const composer = new Composer({
    merge: true,
    keepSourceTokens: true,
    uniqueKeys: false,
    // The reader warns through the process of keys that are no scalars. Nothing of ours is in them.
    logLevel: 'error',
  })
  lines.addNewLine(0)
  const tokens = boundedTokens(text, new Parser(lines.addNewLine), deepestNesting)
  return [...composer.compose(tokens, false, text.length)]
}

function withValueAt(value: Json, path: Path, leaf: Json): Json {
  const [key, ...rest] = path
  if (key === undefined) return leaf
  if (isList(value)) {
    return value.map((item, index) => (index === key ? withValueAt(item, rest, leaf) : item))
  }
  const map = isJsonMap(value) ? value : {}
  return { ...map, [key]: withValueAt(map[key] ?? null, rest, leaf) }
}

function problemOf(
  file: string,
  lines: LineCounter,
  offset: number,
  path: string,
  message: string,
): Problem {
  const { line, col } = lines.linePos(offset)
  const position = { file, line: Math.max(line, 1), column: Math.max(col, 1) }
  return { where: formatPosition(position), path, message }
}
