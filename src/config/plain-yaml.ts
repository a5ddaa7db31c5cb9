import { LineCounter } from 'yaml'
import type { Place, Places } from './yaml-places.ts'

/** A value and the places of its parts. */
export interface PlainYaml {
  readonly value: unknown
  readonly places: Places
  readonly lines: LineCounter
}

/**
 * Reads the part of YAML that people write configuration in: block maps and lists, flow maps and lists on one line, plain and
 * quoted texts on one line, comments. undefined: the text has anything else, right or wrong, and is for the YAML parser.
 *
 * Ten thousand products take the YAML parser a second and hundreds of MB, while nothing else runs; this takes a tenth. What it
 * accepts means what the YAML parser says, places included (a property test compares them).
 */
export function readPlainYaml(text: string): PlainYaml | undefined {
  try {
    return new PlainReader(text).read()
  } catch (thrown) {
    if (thrown === notPlain) return undefined
    throw thrown
  }
}

/** Thrown at what is not plain; made once, because a stack costs more than most files. */
const notPlain = new Error('not plain YAML')

const deepestNesting = 12

// Pieces of a line: ASCII, and letters of the Latin alphabets. No tabs, no control characters.
const letters = '\\u00c0-\\u024f'
const emptyLine = /^ *(?:#[^\r]*)?\r?$/
const lineEnd = /(?: +#[^\r]*| *)\r?$/y
const keyText = /(?:([A-Za-z0-9_][\w.-]{0,200})|"([ !#-[\]-~]{0,200})"):(?= |\r?$)/y
const quotedText = new RegExp(`"([ !#-[\\]-~${letters}]*)"|'([ -&(-~${letters}]*)'`, 'y')
/** Words without `: ` and ` #` between them. */
const blockText = plainText(`!-9;-~${letters}`)
const flowText = plainText(`!-+\\--9;-Z\\\\^-z|~${letters}`)

function plainText(inner: string): RegExp {
  const next = `[${inner}]|:(?=[:${inner}])| +(?=[:${inner}])(?!#)`
  return new RegExp(`[A-Za-z0-9_/.${letters}](?:${next})*`, 'y')
}

/** What a value that the reader stands at begins with. */
type Start = 'inline' | 'map' | 'list'

class PlainReader {
  readonly #text: string
  readonly #lines = new LineCounter()
  readonly #places: Places = { root: 0, of: new Map() }
  /** The line that is read, without its line break. */
  #line = ''
  #lineAt = 0
  #nextLineAt = 0
  /** Where the content of the line begins; -1: there is no more. */
  #indent = -1
  /** Where the next piece of the line begins. */
  #column = 0
  #depth = 0

  constructor(text: string) {
    this.#text = text
  }

  read(): PlainYaml {
    this.#nextLine()
    if (!this.#continues(0) || this.#isDash()) throw notPlain
    this.#places.root = this.#offset
    const value = this.#readBlock('map')
    if (this.#continues(0)) throw notPlain
    return { value, places: this.#places, lines: this.#lines }
  }

  get #offset(): number {
    return this.#lineAt + this.#column
  }

  /** Goes on to the next line that has content. */
  #nextLine(): void {
    do {
      if (this.#nextLineAt > this.#text.length) {
        this.#indent = -1
        return
      }
      this.#lineAt = this.#nextLineAt
      this.#lines.addNewLine(this.#lineAt)
      const end = this.#text.indexOf('\n', this.#lineAt)
      this.#nextLineAt = end === -1 ? this.#text.length + 1 : end + 1
      this.#line = this.#text.slice(this.#lineAt, this.#nextLineAt - 1)
    } while (emptyLine.test(this.#line))
    this.#indent = this.#line.search(/[^ ]/)
    this.#column = this.#indent
  }

  #readValue(start: Start): unknown {
    if (start !== 'inline') return this.#readBlock(start)
    const value = this.#readInline(blockText)
    if (!this.#isAtEnd()) throw notPlain
    this.#nextLine()
    return value
  }

  #readBlock(start: 'map' | 'list'): unknown {
    if (++this.#depth > deepestNesting) throw notPlain
    const value = start === 'map' ? this.#readMap() : this.#readList()
    this.#depth--
    return value
  }

  #readMap(): unknown {
    const indent = this.#indent
    const value: Record<string, unknown> = {}
    const places = this.#place(value)
    do {
      const keyAt = this.#offset
      const name = this.#readKey()
      if (places.has(name)) throw notPlain
      const start = this.#seekValue(indent, indent)
      places.set(name, { keyAt, valueAt: this.#offset })
      value[name] = this.#readValue(start)
    } while (this.#continues(indent) && !this.#isDash())
    return value
  }

  #readList(): unknown {
    const indent = this.#indent
    const value: unknown[] = []
    const places = this.#place(value)
    do {
      this.#column = indent + 1
      const start = this.#seekValue(indent, indent + 1)
      const at = this.#offset
      places.set(value.length, { keyAt: at, valueAt: at })
      value.push(this.#readValue(start === 'inline' && this.#isKey() ? this.#enterMap() : start))
    } while (this.#continues(indent) && this.#isDash())
    return value
  }

  /** `- key: value`: a map whose indent is where its first key stands. */
  #enterMap(): 'map' {
    this.#indent = this.#column
    return 'map'
  }

  /** Whether the next line belongs to a block at `indent`. What is deeper continues a text, or is wrong. */
  #continues(indent: number): boolean {
    if (this.#indent > indent) throw notPlain
    return this.#indent === indent
  }

  /** Goes to the value after a colon or a dash: on the same line, or below it. */
  #seekValue(indent: number, listIndent: number): Start {
    if (!this.#isAtEnd()) {
      this.#skipSpaces()
      return 'inline'
    }
    this.#nextLine()
    if (this.#indent >= listIndent && this.#isDash()) return 'list'
    if (this.#indent > indent) return 'map'
    throw notPlain
  }

  #readInline(plain: RegExp): unknown {
    const first = this.#line[this.#column]
    if (first === '{') return this.#readFlowMap()
    if (first === '[') return this.#readFlowList()
    if (first !== '"' && first !== "'") return resolvePlain(this.#take(plain)[0])
    const [, double, single] = this.#take(quotedText)
    return double ?? single
  }

  #readFlowMap(): unknown {
    const value: Record<string, unknown> = {}
    const places = this.#place(value)
    this.#readFlow('}', () => {
      const keyAt = this.#offset
      const name = this.#readKey()
      if (places.has(name) || this.#line[this.#column] !== ' ') throw notPlain
      this.#skipSpaces()
      places.set(name, { keyAt, valueAt: this.#offset })
      value[name] = this.#readInline(flowText)
    })
    return value
  }

  #readFlowList(): unknown {
    const value: unknown[] = []
    const places = this.#place(value)
    this.#readFlow(']', () => {
      const at = this.#offset
      places.set(value.length, { keyAt: at, valueAt: at })
      value.push(this.#readInline(flowText))
    })
    return value
  }

  #readFlow(close: string, readEntry: () => void): void {
    if (++this.#depth > deepestNesting) throw notPlain
    this.#column++
    this.#skipSpaces()
    while (this.#line[this.#column] !== close) {
      readEntry()
      this.#skipSpaces()
      if (this.#line[this.#column] === close) break
      if (this.#line[this.#column] !== ',') throw notPlain
      this.#column++
      this.#skipSpaces()
      if (this.#line[this.#column] === close) throw notPlain
    }
    this.#column++
    this.#depth--
  }

  #place(value: object): Map<string | number, Place> {
    const places = new Map<string | number, Place>()
    this.#places.of.set(value, places)
    return places
  }

  #readKey(): string {
    const [, plain, quoted] = this.#take(keyText)
    const name = plain ?? quoted
    if (name === undefined || name === '__proto__') throw notPlain
    return name
  }

  #isKey(): boolean {
    keyText.lastIndex = this.#column
    return keyText.test(this.#line)
  }

  #isDash(): boolean {
    return /^- |^-\r?$/.test(this.#line.slice(this.#indent, this.#indent + 3))
  }

  #isAtEnd(): boolean {
    lineEnd.lastIndex = this.#column
    return lineEnd.test(this.#line)
  }

  #skipSpaces(): void {
    while (this.#line[this.#column] === ' ') this.#column++
  }

  /** The piece of the line that `shape` matches here. */
  #take(shape: RegExp): RegExpExecArray {
    shape.lastIndex = this.#column
    const piece = shape.exec(this.#line)
    if (piece === null) throw notPlain
    this.#column = shape.lastIndex
    return piece
  }
}

/** Numbers in any other spelling are left to the YAML parser, and so is null, which no setting is. */
const wholeNumber = /^(?:0|[1-9][0-9]{0,14})$/
const otherNumber =
  /^(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9A-Fa-f]+|[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$/
const truths = new Map([
  ...['true', 'True', 'TRUE'].map((word) => [word, true] as const),
  ...['false', 'False', 'FALSE'].map((word) => [word, false] as const),
])

/** What YAML's core schema makes of a plain text (YAML 1.2.2, 10.3.2). */
function resolvePlain(text: string): unknown {
  const truth = truths.get(text)
  if (truth !== undefined) return truth
  if (wholeNumber.test(text)) return Number(text)
  if (otherNumber.test(text) || /^(?:null|Null|NULL)$/.test(text)) throw notPlain
  return text
}
