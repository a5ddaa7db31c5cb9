import type { Steps } from '../core/steps.ts'
import { elementSize } from './der.ts'

/**
 * The entries of a revocation list by serial number: their places in the list, sorted. Costs 4 bytes an entry and no object,
 * and a lookup compares log2(n) numbers whichever the CA chose, which no hash table promises.
 */
export class SerialIndex {
  readonly #der: Buffer
  readonly #sorted: Uint32Array

  private constructor(der: Buffer, sorted: Uint32Array) {
    this.#der = der
    this.#sorted = sorted
  }

  /** `offsets`: where in `der` the entries begin, each a checked SEQUENCE that begins with its serial number. */
  static *of(der: Buffer, offsets: readonly number[]): Steps<SerialIndex> {
    return new SerialIndex(der, yield* sortBySerial(der, Uint32Array.from(offsets)))
  }

  get size(): number {
    return this.#sorted.length
  }

  /** The entry, DER. `serial`: the content of its INTEGER, at most 64 octets. */
  find(serial: Buffer): Buffer | undefined {
    const wanted = entryOf(serial)
    let low = 0
    let high = this.#sorted.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (compareSerials(this.#der, this.#sorted[middle] ?? 0, wanted, 0) < 0) low = middle + 1
      else high = middle
    }
    const start = this.#sorted[low]
    if (start === undefined || compareSerials(this.#der, start, wanted, 0) !== 0) return undefined
    return this.#der.subarray(start, start + elementSize(this.#der, start))
  }
}

/** An entry that holds nothing but a serial number. */
function entryOf(serial: Buffer): Buffer {
  const head = Buffer.from([0x30, serial.length + 2, 0x02, serial.length])
  return Buffer.concat([head, serial])
}

/** Bottom-up merge sort: it costs the same whatever the order, and it can be left at any step. */
function* sortBySerial(der: Buffer, offsets: Uint32Array): Steps<Uint32Array> {
  let from: Uint32Array = offsets
  let into: Uint32Array = new Uint32Array(offsets.length)
  for (let width = 1; width < offsets.length; width *= 2) {
    for (let start = 0; start < offsets.length; start += 2 * width)
      yield* mergeRuns(der, { from, into, start, width })
    ;[from, into] = [into, from]
  }
  return from
}

/** Two sorted runs beside each other, each of `width` elements or what is left of them. */
interface Runs {
  readonly from: Uint32Array
  readonly into: Uint32Array
  readonly start: number
  readonly width: number
}

const comparisonsPerStep = 4096

function* mergeRuns(der: Buffer, { from, into, start, width }: Runs): Steps<void> {
  const middle = Math.min(start + width, from.length)
  const end = Math.min(middle + width, from.length)
  let left = start
  let right = middle
  for (let i = start; i < end; i++) {
    const isLeft =
      right === end ||
      (left < middle && compareSerials(der, from[left] ?? 0, der, from[right] ?? 0) <= 0)
    into[i] = from[isLeft ? left++ : right++] ?? 0
    if (i % comparisonsPerStep === 0) yield
  }
}

/** Of the entries that begin at these places: the shorter number first, then octet by octet. */
function compareSerials(a: Buffer, aEntry: number, b: Buffer, bEntry: number): number {
  let aAt = serialAt(a, aEntry)
  let bAt = serialAt(b, bEntry)
  const length = a[aAt - 1] ?? 0
  const difference = length - (b[bAt - 1] ?? 0)
  if (difference !== 0) return difference
  const end = aAt + length
  while (aAt < end && a[aAt] === b[bAt]) {
    aAt++
    bAt++
  }
  return aAt === end ? 0 : (a[aAt] ?? 0) - (b[bAt] ?? 0)
}

/** Where the content of an entry's INTEGER begins. Its length is the octet before: it is too short for more than one. */
function serialAt(der: Buffer, entry: number): number {
  const length = der[entry + 1] ?? 0
  return entry + 4 + (length < 0x80 ? 0 : length & 0x7f)
}
