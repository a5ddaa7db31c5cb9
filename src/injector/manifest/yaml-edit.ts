import {
  isAlias,
  isMap,
  isNode,
  isPair,
  isScalar,
  isSeq,
  type Node,
  type Pair,
  Scalar,
  stringify,
  type YAMLMap,
  type YAMLSeq,
} from 'yaml'
import { isEqual, isList, isMap as isJsonMap, type Json, type JsonMap } from '../json.ts'
import { listChange } from '../list-change.ts'

/** A piece of a text and what takes its place. */
export interface Splice {
  readonly start: number
  readonly end: number
  readonly text: string
}

/** A value is written in a way that cannot be changed in its place. */
export class NotEditable extends Error {
  /** Where it stands. */
  readonly offset: number

  constructor(offset: number, message: string) {
    super(message)
    this.offset = offset
  }
}

/**
 * Changes values in the text that they were read from. Everything that does not change stays byte for byte: comments, order,
 * quotes, indentation. What is added is written as its neighbours are (block or flow, and their indentation), and taking it away
 * gives the bytes from before.
 *
 * The document must have been parsed with `keepSourceTokens`.
 */
export class YamlEdit {
  readonly splices: Splice[] = []
  readonly #text: string
  readonly #eol: string
  readonly #indentsLists: boolean

  constructor(text: string) {
    this.#text = text
    this.#eol = text.includes('\r\n') ? '\r\n' : '\n'
    this.#indentsLists = indentsLists(text)
  }

  /** Makes `after` of `before`, which is what `node` says. Throws `NotEditable`. */
  change(node: unknown, before: Json | undefined, after: Json): void {
    if (isEqual(before, after)) return
    if (isAlias(node) || (isNode(node) && hasAnchor(node))) {
      throw new NotEditable(startOf(node), 'other places use this value too (an anchor or alias)')
    }
    if (isMap(node) && isJsonMap(before) && isJsonMap(after)) this.#changeMap(node, before, after)
    else if (isSeq(node) && isList(before) && isList(after)) this.#changeSeq(node, before, after)
    else if (before === null)
      throw new NotEditable(startOf(node), 'it is null, expected nothing or a value there')
    else if (isScalar(node) && !isJsonMap(after) && !isList(after)) this.#changeScalar(node, after)
    else throw new NotEditable(startOf(node), 'it cannot be changed in its place')
  }

  #changeMap(map: YAMLMap, before: JsonMap, after: JsonMap): void {
    const pairs = map.items.filter((pair) => isPair(pair))
    if (pairs.some(({ key }) => isScalar(key) && key.source === '<<')) {
      throw new NotEditable(startOf(map), 'it is merged from another place (<<)')
    }
    const gone = pairs.filter(({ key }) => after[keyOf(key)] === undefined)
    for (const { key, value } of pairs) {
      const name = keyOf(key)
      const wanted = after[name]
      if (wanted === undefined) continue
      if (value === null || (isScalar(value) && isEmpty(value))) {
        this.#fill(key, before[name], wanted)
      } else if (wanted === null && before[name] !== null) {
        this.#clear(key, value)
      } else {
        this.change(value, before[name], wanted)
      }
    }
    const added = Object.keys(after).filter(
      (key) => after[key] !== undefined && !pairs.some((pair) => keyOf(pair.key) === key),
    )
    this.#removeFrom(map, pairs, gone, spanOfPair)
    if (added.length === 0) return
    if (gone.length > 0) throw new NotEditable(startOf(map), 'keys come and go at once')
    this.#addPairs(map, Object.fromEntries(added.map((key) => [key, after[key]])))
  }

  /** `key:` without a value, which is null. */
  #fill(key: unknown, before: Json | undefined, after: Json): void {
    if (isEqual(before, after)) return
    const end = isNode(key) ? rangeOf(key)[1] : 0
    if (this.#text[end] !== ':') throw new NotEditable(startOf(key), 'it has no value')
    this.#insert(end + 1, ` ${JSON.stringify(after)}`)
  }

  /** The opposite of `#fill`. */
  #clear(key: unknown, value: unknown): void {
    const start = isNode(key) ? rangeOf(key)[1] + 1 : 0
    const isFilled =
      this.#text[start - 1] === ':' && /^ *$/.test(this.#text.slice(start, startOf(value)))
    if (!isFilled) throw new NotEditable(startOf(key), 'its value cannot be taken away')
    this.#replace(start, contentEnd(value), '')
  }

  #changeSeq(seq: YAMLSeq, before: readonly Json[], after: readonly Json[]): void {
    const change = listChange(before, after)
    if (change === undefined) return
    const { at, removed, added } = change
    if (removed === added.length) {
      for (const [i, value] of added.entries())
        this.change(seq.items[at + i], before[at + i], value)
      return
    }
    if (removed > 0 && added.length > 0) {
      // What changes comes first, what is more or less than before follows.
      const both = Math.min(removed, added.length)
      const step = [...before.slice(0, at), ...added.slice(0, both), ...before.slice(at + both)]
      this.#changeSeq(seq, before, step)
      this.#resize(seq, at + both, removed - both, added.slice(both))
      return
    }
    this.#resize(seq, at, removed, added)
  }

  #resize(seq: YAMLSeq, at: number, removed: number, added: readonly Json[]): void {
    const gone = seq.items.slice(at, at + removed)
    this.#removeFrom(seq, seq.items, gone, (item) => this.#spanOfItem(seq, item))
    if (added.length > 0) this.#addItems(seq, at, added)
  }

  #changeScalar(node: Scalar, after: null | boolean | number | string): void {
    const [start, end] = rangeOf(node)
    const isQuoted = node.type === Scalar.QUOTE_DOUBLE || node.type === Scalar.QUOTE_SINGLE
    const text =
      typeof after === 'string' && isQuoted
        ? node.type === Scalar.QUOTE_SINGLE
          ? `'${after.replaceAll("'", "''")}'`
          : JSON.stringify(after)
        : plain(after)
    this.#replace(start, end, text)
  }

  #addPairs(map: YAMLMap, added: JsonMap): void {
    if (map.flow === true) {
      const text = Object.entries(added).map(
        ([key, value]) => `${JSON.stringify(key)}: ${JSON.stringify(value)}`,
      )
      this.#addToFlow(map, map.items.length, text)
      return
    }
    const [first] = map.items
    const last = map.items.at(-1)
    if (first === undefined || last === undefined) {
      throw new NotEditable(startOf(map), 'it is empty')
    }
    this.#insertLines(
      this.#lineEnd(last),
      this.#block(added, columnOf(this.#text, startOf(first.key))),
    )
  }

  #addItems(seq: YAMLSeq, at: number, added: readonly Json[]): void {
    if (seq.flow === true) {
      this.#addToFlow(
        seq,
        at,
        added.map((item) => JSON.stringify(item)),
      )
      return
    }
    const last = seq.items[at - 1]
    const column = columnOf(this.#text, dashOf(seq, 0))
    const lines = this.#block(added, column)
    // Before the comments of the first item, which are its own.
    const place = at === 0 ? this.#before(seq) : this.#lineEnd(last)
    this.#insertLines(place, lines)
  }

  /** The end of the line above the first item and its comments: of the key that leads to the list. */
  #before(seq: YAMLSeq): number {
    let end = this.#text.lastIndexOf('\n', dashOf(seq, 0) - 1)
    while (end > 0) {
      const start = this.#text.lastIndexOf('\n', end - 1) + 1
      const line = this.#text.slice(start, end).trim()
      if (line !== '' && !line.startsWith('#')) break
      end = start - 1
    }
    if (end <= 0)
      throw new NotEditable(startOf(seq), 'its first item stands where nothing fits before it')
    return end + 1
  }

  #addToFlow(collection: YAMLMap | YAMLSeq, at: number, added: readonly string[]): void {
    const [start] = rangeOf(collection)
    const last = collection.items.at(-1)
    const next = collection.items[at]
    const text = added.join(', ')
    if (last === undefined) this.#insert(start + 1, text)
    else if (next !== undefined) this.#insert(contentStart(next), `${text}, `)
    else this.#insert(contentEnd(last), `, ${text}`)
  }

  #block(value: Json, column: number): string {
    const text = stringify(value, {
      lineWidth: 0,
      indentSeq: this.#indentsLists,
      // Words such as `on` that other readers take for something else are quoted.
      version: '1.1',
    })
    const indent = ' '.repeat(column)
    return text.replace(/^(?=.)/gm, indent).replaceAll('\n', this.#eol)
  }

  /** `at` is the beginning of a line, or the end of a text whose last line has no end. */
  #insertLines(at: number, lines: string): void {
    const isAtLineStart = at === 0 || this.#text[at - 1] === '\n'
    this.#insert(at, isAtLineStart ? lines : `${this.#eol}${lines.slice(0, -this.#eol.length)}`)
  }

  #removeFrom<Item>(
    collection: YAMLMap | YAMLSeq,
    items: readonly Item[],
    gone: readonly Item[],
    spanOf: (item: Item) => { readonly start: number; readonly end: number },
  ): void {
    if (gone.length === 0) return
    if (gone.length === items.length) {
      this.#empty(collection)
    } else if (collection.flow === true) {
      this.#removeFromFlow(items, gone, spanOf)
    } else {
      for (const item of gone) this.#removeLines(spanOf(item).start, this.#lineEnd(item))
    }
  }

  /** The spaces within brackets stay. */
  #empty(collection: YAMLMap | YAMLSeq): void {
    const [start, end] = [startOf(collection), this.#contentEndOf(collection)]
    const from = contentStart(collection.items[0])
    const to = contentEnd(collection.items.at(-1))
    const around = this.#text.slice(start + 1, from) + this.#text.slice(to, end - 1)
    if (collection.flow === true && around.trim() === '') this.#replace(from, to, '')
    else this.#replace(start, end, isMap(collection) ? '{}' : '[]')
  }

  #removeFromFlow<Item>(
    items: readonly Item[],
    gone: readonly Item[],
    spanOf: (item: Item) => { readonly start: number; readonly end: number },
  ): void {
    const first = items.findIndex((item) => gone.includes(item))
    const next = items.slice(first).find((item) => !gone.includes(item))
    const [from, last] = [items[first], gone.at(-1)]
    const previous = items[first - 1]
    if (from === undefined || last === undefined) return
    if (next !== undefined) this.#replace(spanOf(from).start, spanOf(next).start, '')
    else if (previous !== undefined) this.#replace(spanOf(previous).end, spanOf(last).end, '')
  }

  #removeLines(start: number, end: number): void {
    const lineStart = this.#text.lastIndexOf('\n', start - 1) + 1
    if (this.#text.slice(lineStart, start).trim() !== '') {
      throw new NotEditable(start, 'it stands on one line with something else')
    }
    this.#replace(lineStart, end, '')
  }

  #spanOfItem(seq: YAMLSeq, item: unknown): { readonly start: number; readonly end: number } {
    const start = seq.flow === true ? contentStart(item) : dashOf(seq, seq.items.indexOf(item))
    return { start, end: contentEnd(item) }
  }

  #contentEndOf(collection: YAMLMap | YAMLSeq): number {
    const last = collection.items.at(-1)
    return collection.flow === true || last === undefined
      ? rangeOf(collection)[1]
      : contentEnd(last)
  }

  /** The beginning of the line after an item, or the end of the text. */
  #lineEnd(item: unknown): number {
    const end = contentEnd(item)
    // A block scalar has its last line's end.
    if (this.#text[end - 1] === '\n') return end
    const eol = this.#text.indexOf('\n', end)
    return eol === -1 ? this.#text.length : eol + 1
  }

  #insert(at: number, text: string): void {
    this.#replace(at, at, text)
  }

  #replace(start: number, end: number, text: string): void {
    this.splices.push({ start, end, text })
  }
}

/** The text with all splices. None may overlap another. */
export function applySplices(text: string, splices: readonly Splice[]): string {
  const ordered = [...splices].sort((a, b) => a.start - b.start || a.end - b.end)
  let result = ''
  let from = 0
  for (const { start, end, text: piece } of ordered) {
    if (start < from) throw new TypeError('splices overlap')
    result += text.slice(from, start) + piece
    from = end
  }
  result += text.slice(from)
  // The last line of a text without an end of line is gone: the one that is last now has none either.
  return text.endsWith('\n') ? result : result.replace(/\r?\n$/, '')
}

/** Whether the first list that stands below a key stands further to the right than the key. */
function indentsLists(text: string): boolean {
  const [, key = '', dash = ' '] = /^([ -]*)[^\s#-][^\n]*:[ \t]*\r?\n( *)- /m.exec(text) ?? []
  return dash.length > key.length
}

function plain(value: null | boolean | number | string): string {
  return stringify(value, { lineWidth: 0, version: '1.1' }).trimEnd()
}

function keyOf(key: unknown): string {
  return isScalar(key) ? String(key.value) : ''
}

function hasAnchor(node: Node): boolean {
  return (isScalar(node) || isMap(node) || isSeq(node)) && node.anchor !== undefined
}

function isEmpty(node: Node): boolean {
  const [start, end] = rangeOf(node)
  return start === end
}

function spanOfPair(pair: Pair): { readonly start: number; readonly end: number } {
  return { start: startOf(pair.key), end: contentEnd(pair) }
}

function contentStart(item: unknown): number {
  return isPair(item) ? startOf(item.key) : startOf(item)
}

/** Where an item ends. The range of a block collection goes on to the next content, over comments and empty lines. */
function contentEnd(item: unknown): number {
  if (isPair(item)) {
    return isNode(item.value) && !(isScalar(item.value) && isEmpty(item.value))
      ? contentEnd(item.value)
      : contentEnd(item.key)
  }
  if ((isMap(item) || isSeq(item)) && item.flow !== true && item.items.length > 0) {
    return contentEnd(item.items.at(-1))
  }
  return isNode(item) ? rangeOf(item)[1] : 0
}

/** Where the `-` of an item of a block list stands. */
function dashOf(seq: YAMLSeq, index: number): number {
  const token = seq.srcToken
  const start = token?.type === 'block-seq' ? token.items[index]?.start : undefined
  const dash = start?.find(({ type }) => type === 'seq-item-ind')
  if (dash === undefined) throw new NotEditable(startOf(seq), 'its items cannot be told apart')
  return dash.offset
}

function startOf(node: unknown): number {
  return isNode(node) ? rangeOf(node)[0] : 0
}

function rangeOf(node: Node): readonly [start: number, end: number] {
  const [start, end] = node.range ?? []
  if (start === undefined || end === undefined) throw new TypeError('a parsed node has a range')
  return [start, end]
}

function columnOf(text: string, offset: number): number {
  return offset - (text.lastIndexOf('\n', offset - 1) + 1)
}
