import { fieldNameOf, type FieldKind } from './field-name.ts'
import { Fault } from './refusal.ts'

/** A character that no value may hold: controls but HTAB (RFC 9110 5.5), and what is not one byte. */
const notInValues = /[^\t\x20-\x7e\x80-\xff]/

const folded = new Fault('field_folded', 'a field line begins with white space')
const withoutColon = new Fault('field_malformed', 'a field line has no colon')
const nameNoToken = new Fault('field_malformed', 'a field name is no token')
const controlInValue = new Fault('field_malformed', 'a field value holds a control character')
const tooMany = new Fault('too_many_fields', 'more fields than the limit')
const forbiddenTrailer = new Fault('trailer_forbidden', 'a trailer that may only stand in the head')

/**
 * The fields of one head or trailer section as they come, line by line. The values of fields that frame or route are set aside;
 * where such a field comes again they are joined with a comma, which none of them may hold, so a repetition is never overlooked.
 */
export class FieldSection {
  /** Name, value, name, value. */
  readonly fields: string[] = []
  host: string | undefined
  contentLength: string | undefined
  transferEncoding: string | undefined
  connection: string | undefined
  expect: string | undefined
  upgrade: string | undefined
  keepAlive: string | undefined
  readonly #maxEntries: number
  readonly #isTrailer: boolean

  constructor(maxFields: number, place: 'head' | 'trailer') {
    this.#maxEntries = maxFields * 2
    this.#isTrailer = place === 'trailer'
  }

  /** One line of `text` without its line end. Returns why it is refused. */
  add(text: string, start: number, end: number): Fault | undefined {
    const first = text.charCodeAt(start)
    if (first === space || first === tab) return folded
    const colon = text.indexOf(':', start)
    if (colon === -1 || colon >= end) return withoutColon
    const name = fieldNameOf(text.slice(start, colon))
    if (name === undefined) return nameNoToken
    if (this.#isTrailer && !name.mayBeTrailer) return forbiddenTrailer
    if (this.fields.length >= this.#maxEntries) return tooMany
    const value = trimmed(text, colon + 1, end)
    if (notInValues.test(value)) return controlInValue
    this.fields.push(name.text, value)
    if (name.kind !== 'other') this.#setAside(name.kind, value)
    return undefined
  }

  #setAside(kind: Exclude<FieldKind, 'other'>, value: string): void {
    switch (kind) {
      case 'host':
        this.host = joined(this.host, value)
        break
      case 'content-length':
        this.contentLength = joined(this.contentLength, value)
        break
      case 'transfer-encoding':
        this.transferEncoding = joined(this.transferEncoding, value)
        break
      case 'connection':
        this.connection = joined(this.connection, value)
        break
      case 'expect':
        this.expect = joined(this.expect, value)
        break
      case 'upgrade':
        this.upgrade = joined(this.upgrade, value)
        break
      case 'keep-alive':
        this.keepAlive = joined(this.keepAlive, value)
        break
    }
  }
}

const tab = 0x09
const space = 0x20

/** Whether a field may carry `value`. */
export function isFieldValue(value: string): boolean {
  return !notInValues.test(value)
}

function joined(before: string | undefined, value: string): string {
  return before === undefined ? value : `${before}, ${value}`
}

function trimmed(text: string, start: number, end: number): string {
  let from = start
  let to = end
  while (from < to && isBlank(text.charCodeAt(from))) from++
  while (to > from && isBlank(text.charCodeAt(to - 1))) to--
  return text.slice(from, to)
}

function isBlank(code: number): boolean {
  return code === space || code === tab
}
