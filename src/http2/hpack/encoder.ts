import { headerTableBytes, maxEncoderNames } from '../limits.ts'
import { DynamicTable } from './dynamic-table.ts'
import { huffmanEncode, huffmanLength } from './huffman.ts'
import { RecentFields } from './recent-fields.ts'
import { staticLength, staticNames } from './static-table.ts'
import type { StaticName } from './static-table.ts'

/**
 * How a name is written: `repeats` enters the table when its value comes a second time; `secret` is a never-indexed literal
 * (RFC 7541 7.1.3), so that no table holds it and no compression oracle can be asked about it; `short-secret` is one only while
 * the value is short enough to be guessed; `dropped` does not leave at all.
 */
export type Manner = 'repeats' | 'secret' | 'short-secret' | 'dropped'

/** Below this a cookie is guessed sooner than it is repeated. */
const guessableLength = 20

/** Longer values would push out most of a table of 4096 bytes. */
const longestIndexed = 1_024

/** Longer names are not worth remembering. */
const longestLearned = 64

interface IndexedField {
  readonly size: number
  readonly name: NameState
  readonly value: string
  /** Its place among all insertions. */
  readonly number: number
}

/** What the encoder knows of one name as it is spelled by the caller. */
interface NameState {
  /** Stands for the name where a number is wanted. */
  readonly number: number
  /** Lower case, as it goes out. */
  readonly text: string
  readonly manner: Manner
  readonly known: StaticName | undefined
  /** Values in the dynamic table, with their insertion numbers; made when the first one enters. */
  indexed: Map<string, number> | undefined
}

/**
 * Encodes header blocks of one direction of one connection, RFC 7541. `begin`, then `field` for each, then `take`; blocks must
 * leave in the order in which they were encoded. A field enters the table when it is seen twice (recent-fields.ts): what repeats
 * costs one byte, and what never repeats (request ids, lengths) pushes nothing out.
 */
export class HpackEncoder {
  readonly #manners: ReadonlyMap<string, Manner>
  readonly #table: DynamicTable<IndexedField>
  #learned = 0
  readonly #names = new Map<string, NameState>()
  readonly #recent = new RecentFields()
  /** Sizes that the next block has to announce (RFC 7541 4.2). */
  #smallestUpdate: number | undefined
  #at = 0
  #isOpen = false

  /** `manners` by name in lower case; all other names are `repeats`. */
  constructor(manners: ReadonlyMap<string, Manner>) {
    this.#manners = manners
    this.#table = new DynamicTable<IndexedField>(headerTableBytes, forget)
  }

  /** The peer's SETTINGS_HEADER_TABLE_SIZE; of a larger table than ours only our size is used. */
  setPeerTableBytes(bytes: number): void {
    const size = Math.min(bytes, headerTableBytes)
    if (size === this.#table.maxBytes) return
    this.#smallestUpdate = Math.min(size, this.#smallestUpdate ?? size)
    this.#table.resize(size)
  }

  begin(): void {
    if (this.#isOpen) this.#restart()
    this.#isOpen = true
    this.#at = 0
    if (this.#smallestUpdate === undefined) return
    if (this.#smallestUpdate < this.#table.maxBytes) this.#sizeUpdate(this.#smallestUpdate)
    this.#sizeUpdate(this.#table.maxBytes)
    this.#smallestUpdate = undefined
  }

  /** `name` in any case. Throws `TypeError` for characters above U+00FF. */
  field(name: string, value: string): void {
    const state = this.#names.get(name) ?? this.#learn(name)
    if (state.manner === 'dropped') return
    if (isSecret(state.manner, value)) this.#literal(0x10, 0x0f, state, value)
    else this.#repeating(state, value)
  }

  /** A field that came never-indexed and goes on as such (RFC 7541 6.2.3). */
  secretField(name: string, value: string): void {
    const state = this.#names.get(name) ?? this.#learn(name)
    if (state.manner !== 'dropped') this.#literal(0x10, 0x0f, state, value)
  }

  /** The block since `begin`: a view that the next block of any connection overwrites. */
  take(): Buffer {
    this.#isOpen = false
    return scratch.subarray(0, this.#at)
  }

  /** The block before was given up half-way (a `TypeError`): the peer never saw what it put into the table. */
  #restart(): void {
    const size = this.#table.maxBytes
    this.#table.resize(0)
    this.#table.resize(size)
    this.#smallestUpdate = 0
  }

  #repeating(state: NameState, value: string): void {
    const known = state.known?.values.get(value)
    if (known !== undefined) {
      this.#integer(0x80, 0x7f, known)
      return
    }
    const number = state.indexed?.get(value)
    if (number !== undefined) {
      this.#integer(0x80, 0x7f, this.#indexOf(number))
      return
    }
    if (this.#isWorthIndexing(state, value)) {
      this.#literal(0x40, 0x3f, state, value)
      this.#index(state, ownCopy(value))
    } else {
      this.#literal(0x00, 0x0f, state, value)
    }
  }

  #isWorthIndexing(state: NameState, value: string): boolean {
    if (value.length > longestIndexed) return false
    return (
      sizeOf(state, value) <= this.#table.maxBytes &&
      this.#recent.isSecondSight(state.number, value)
    )
  }

  #index(name: NameState, value: string): void {
    const size = sizeOf(name, value)
    const number = this.#table.inserted
    if (this.#table.insert({ size, name, value, number })) {
      name.indexed ??= new Map()
      name.indexed.set(value, number)
    }
  }

  #indexOf(number: number): number {
    return staticLength + this.#table.inserted - number
  }

  #literal(pattern: number, prefix: number, state: NameState, value: string): void {
    const index = state.known?.index ?? this.#anyIndexOf(state)
    this.#integer(pattern, prefix, index)
    if (index === 0) this.#string(state.text)
    this.#string(value)
  }

  /** Some entry of the dynamic table with this name, or 0. */
  #anyIndexOf(state: NameState): number {
    if (state.indexed === undefined) return 0
    for (const number of state.indexed.values()) return this.#indexOf(number)
    return 0
  }

  #learn(spelling: string): NameState {
    const text = ownCopy(spelling.toLowerCase())
    const state: NameState = {
      number: this.#learned++,
      text,
      manner: this.#manners.get(text) ?? 'repeats',
      known: staticNames.get(text),
      indexed: undefined,
    }
    if (spelling.length > longestLearned) return state
    if (this.#names.size >= maxEncoderNames) this.#forgetUnusedNames()
    this.#names.set(ownCopy(spelling), state)
    return state
  }

  /** Names come from outside; only those in the table are worth keeping, and the table bounds their number. */
  #forgetUnusedNames(): void {
    for (const [spelling, state] of this.#names) {
      if (state.indexed === undefined || state.indexed.size === 0) this.#names.delete(spelling)
    }
  }

  #sizeUpdate(bytes: number): void {
    this.#integer(0x20, 0x1f, bytes)
  }

  /** RFC 7541 5.1. */
  #integer(pattern: number, prefix: number, value: number): void {
    this.#reserve(6)
    if (value < prefix) {
      scratch[this.#at++] = pattern | value
      return
    }
    scratch[this.#at++] = pattern | prefix
    let rest = value - prefix
    for (; rest >= 0x80; rest >>>= 7) scratch[this.#at++] = (rest & 0x7f) | 0x80
    scratch[this.#at++] = rest
  }

  #string(text: string): void {
    const length = huffmanLength(text)
    if (length < text.length) {
      this.#integer(0x80, 0x7f, length)
      this.#reserve(length)
      this.#at = huffmanEncode(text, scratch, this.#at)
    } else {
      this.#integer(0x00, 0x7f, text.length)
      this.#reserve(text.length)
      for (let i = 0; i < text.length; i++) scratch[this.#at++] = text.charCodeAt(i)
    }
  }

  #reserve(bytes: number): void {
    if (this.#at + bytes > scratch.length) scratch = grown(scratch, this.#at + bytes)
  }
}

/** Blocks are built here and copied into a frame at once; encoding is synchronous, so one buffer serves all connections. */
let scratch: Buffer = Buffer.allocUnsafeSlow(16_384)

function grown(buffer: Buffer, needed: number): Buffer {
  const larger = Buffer.allocUnsafeSlow(2 * needed)
  buffer.copy(larger)
  return larger
}

/** A string cut from another keeps all of that one alive: what stays gets its own characters. */
function ownCopy(text: string): string {
  return Buffer.from(text, 'latin1').toString('latin1')
}

/** RFC 7541 4.1. */
function sizeOf(name: NameState, value: string): number {
  return name.text.length + value.length + 32
}

function isSecret(manner: Manner, value: string): boolean {
  return manner === 'secret' || (manner === 'short-secret' && value.length < guessableLength)
}

/** A later entry may hold the same value: only the number that this one got is taken out. */
function forget(entry: IndexedField): void {
  const { indexed } = entry.name
  if (indexed?.get(entry.value) === entry.number) indexed.delete(entry.value)
}
