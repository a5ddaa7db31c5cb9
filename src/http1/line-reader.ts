/** Takes the lines of one section. */
export interface LineSink {
  /** One line, without its CRLF: `text` from `start` to `end`. Returns false when no more are wanted. */
  line(text: string, start: number, end: number): boolean
  /** No line, and nothing follows. `too-long`: longer than what is left of the section's size. */
  badLine(why: 'too-long' | 'ending'): void
}

/**
 * Most heads fit: a slice of this size costs 0.1 us, one of 16 KiB a whole microsecond, and it is thrown away where the body
 * follows in the same chunk.
 */
const usualSectionBytes = 2 * 1024

const lineFeed = 0x0a
const carriageReturn = 0x0d

/**
 * Cuts bytes into the CRLF-ended lines of a section of bounded size. A chunk becomes one string and is cut there; only the line
 * that a chunk's end splits is copied, and what was searched is not searched again, so bytes that drip in cost no more.
 */
export class LineReader {
  /** Bytes that the rest of the section may have. */
  #budget = 0
  #open = false
  /** The start of a line whose end is still to come. */
  #carry: Buffer | undefined
  #carried = 0

  /** Begins a section. */
  begin(maxSectionBytes: number): void {
    this.#budget = maxSectionBytes
    this.#open = true
    this.#carry = undefined
    this.#carried = 0
  }

  /** The sink wants more lines, and none was bad. */
  get isOpen(): boolean {
    return this.#open
  }

  /** No part of an unfinished line is held. */
  get isAtLineStart(): boolean {
    return this.#carried === 0
  }

  /** Returns the offset after the last byte consumed: the end of `chunk`, or of the section's last line. */
  read(chunk: Buffer, from: number, sink: LineSink): number {
    let at = this.#carried === 0 ? from : this.#readCarried(chunk, from, sink)
    let window = usualSectionBytes
    while (this.#open && at < chunk.length) {
      at = this.#readWindow(chunk, at, Math.min(chunk.length, at + window), sink)
      window = this.#budget + 1
    }
    return at
  }

  #readWindow(chunk: Buffer, from: number, to: number, sink: LineSink): number {
    const text = chunk.toString('latin1', from, to)
    let start = 0
    for (;;) {
      const end = text.indexOf('\n', start)
      if (end === -1) break
      this.#take(text, start, end, sink)
      start = end + 1
      if (!this.#open) return from + start
    }
    if (text.length - start > this.#budget) return this.#refuse('too-long', sink, to)
    if (to < chunk.length) return from + start
    this.#carryOver(chunk, from + start, to)
    return to
  }

  #readCarried(chunk: Buffer, from: number, sink: LineSink): number {
    const end = chunk.indexOf(lineFeed, from)
    const to = end === -1 ? chunk.length : end + 1
    if (this.#carried + to - from > this.#budget) return this.#refuse('too-long', sink, to)
    this.#carryOver(chunk, from, to)
    if (end !== -1) this.#takeCarried(sink)
    return to
  }

  #takeCarried(sink: LineSink): void {
    const text = this.#carry?.toString('latin1', 0, this.#carried) ?? ''
    this.#carry = undefined
    this.#carried = 0
    this.#take(text, 0, text.length - 1, sink)
  }

  /** The line of `text` from `start` to the LF at `end`. */
  #take(text: string, start: number, end: number, sink: LineSink): void {
    const bytes = end + 1 - start
    if (bytes > this.#budget) {
      this.#refuse('too-long', sink, end)
    } else if (text.charCodeAt(end - 1) !== carriageReturn) {
      this.#refuse('ending', sink, end)
    } else {
      this.#budget -= bytes
      this.#open = sink.line(text, start, end - 1)
    }
  }

  #refuse(why: 'too-long' | 'ending', sink: LineSink, at: number): number {
    this.#open = false
    sink.badLine(why)
    return at
  }

  #carryOver(chunk: Buffer, from: number, to: number): void {
    const needed = this.#carried + to - from
    if (needed === 0) return
    this.#carry = grown(this.#carry, this.#carried, needed)
    chunk.copy(this.#carry, this.#carried, from, to)
    this.#carried = needed
  }
}

/** Doubles, so that bytes that come one by one are copied a bounded number of times each. */
function grown(buffer: Buffer | undefined, used: number, needed: number): Buffer {
  if (buffer !== undefined && buffer.length >= needed) return buffer
  const larger = Buffer.allocUnsafeSlow(Math.max(256, needed, 2 * (buffer?.length ?? 0)))
  buffer?.copy(larger, 0, 0, used)
  return larger
}
