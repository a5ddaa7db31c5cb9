import type { Fields } from '../core/fields.ts'
import { FieldSection } from './field-section.ts'
import type { LineSink } from './line-reader.ts'
import { Fault } from './refusal.ts'

const endingMalformed = new Fault('line_ending_malformed', 'a trailer line ends in LF without CR')
const tooLarge = new Fault('trailers_too_large', 'the trailer section is above the limit')

/** The trailer section of one chunked message, out of its lines. */
export class TrailerSection implements LineSink {
  readonly #section: FieldSection
  #fault: Fault | undefined

  constructor(maxFields: number) {
    this.#section = new FieldSection(maxFields, 'trailer')
  }

  /** What the lines made, once the reader of lines is closed. */
  get result(): Fields | Fault {
    return this.#fault ?? this.#section.fields
  }

  line(text: string, start: number, end: number): boolean {
    if (start === end) return false
    this.#fault = this.#section.add(text, start, end)
    return this.#fault === undefined
  }

  badLine(why: 'too-long' | 'ending'): void {
    this.#fault = why === 'ending' ? endingMalformed : tooLarge
  }
}
