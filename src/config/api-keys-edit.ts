import {
  isMap,
  isNode,
  isPair,
  isSeq,
  type Node,
  parseDocument,
  type YAMLMap,
  type YAMLSeq,
} from 'yaml'
import { PosternError } from '../core/errors.ts'
import type { ApiKeyEntry } from '../policy/api-key-table.ts'
import type { ApiKeys } from '../policy/api-keys.ts'
import { readApiKeys } from './api-keys-file.ts'

// Edits of the text, so that comments and the operator's way of writing stay. What came out is read again before it is handed out.

/** An entry to add, with its dates as they are to be written. */
export interface NewKeyEntry {
  readonly id: string
  readonly sha256: string
  readonly product: string
  readonly consumer: string
  /** `2026-11-01` or `2026-11-01T10:00:00Z`. */
  readonly notBefore?: string
  readonly expires?: string
}

/** The entry in the form that is read fastest, without its dash: `{ id: k_8f3a2c91, sha256: "...", ... }`. */
export function formatKeyEntry(entry: NewKeyEntry): string {
  const { id, sha256, product, consumer, notBefore, expires } = entry
  const fields = [
    `id: ${plainOrQuoted(id)}`,
    `sha256: "${sha256}"`,
    `product: ${plainOrQuoted(product)}`,
    `consumer: ${plainOrQuoted(consumer)}`,
    ...(notBefore === undefined ? [] : [`notBefore: ${notBefore}`]),
    ...(expires === undefined ? [] : [`expires: ${expires}`]),
  ]
  return `{ ${fields.join(', ')} }`
}

function plainOrQuoted(text: string): string {
  const isPlain = /^[A-Za-z_][\w.@+-]*$/.test(text) && !/^(?:null|true|false)$/i.test(text)
  return isPlain ? text : JSON.stringify(text)
}

/**
 * The text of api-keys.yaml with one entry more, after the last. '' is a new file. Throws `ConfigError` when the text is bad
 * or the entry does not fit into it (its id is taken, say).
 */
export function appendKey(text: string, file: string, entry: NewKeyEntry): string {
  const line = `- ${formatKeyEntry(entry)}`
  const edited = text === '' ? `version: 1\nkeys:\n  ${line}\n` : inserted(text, file, entry, line)
  const after = readApiKeys(edited, file).keys
  if (after.find({ id: entry.id }) === undefined) throw notEditable(file)
  return edited
}

function inserted(text: string, file: string, entry: NewKeyEntry, line: string): string {
  const { keys, form } = readApiKeys(text, file)
  if (form === 'lines') {
    const { start, end } = lineSpan(text, lastOf(keys).line)
    const indent = /^ */.exec(text.slice(start, end))?.[0] ?? ''
    return splice(text, end, end, `${eolOf(text)}${indent}${line}`)
  }
  const list = entryList(parseDocument(text))
  const last = list?.items.at(-1)
  if (list === undefined) throw notEditable(file)
  const [start, end] = rangeOf(list)
  if (!isNode(last)) return splice(text, start, end, `${eolOf(text)}  ${line}`)
  const at = endOfContent(last)
  if (list.flow === true) return splice(text, at, at, `, ${formatKeyEntry(entry)}`)
  const indent = ' '.repeat(columnOf(text, start))
  return splice(text, endOfLine(text, at), endOfLine(text, at), `${eolOf(text)}${indent}${line}`)
}

/**
 * The text of api-keys.yaml with one key expired from `nowMs` (rounded down to a second) on; unchanged when it has expired
 * already. The entry stays, so that the records that name it can be understood. Throws `ConfigError` when the text is bad,
 * `PosternError` ERR_CONFIG_INVALID when no key has this id.
 */
export function revokeKey(text: string, file: string, id: string, nowMs: number): string {
  const { keys, form } = readApiKeys(text, file)
  const key = keys.find({ id })
  if (key === undefined) {
    throw new PosternError('ERR_CONFIG_INVALID', `${file}: no key has the id ${JSON.stringify(id)}`)
  }
  if (key.expiresMs <= nowMs) return text
  const expiresMs = Math.floor(nowMs / 1_000) * 1_000
  const { start, end } =
    form === 'lines' ? lineSpan(text, key.line) : { start: 0, end: text.length }
  const moment = new Date(expiresMs).toISOString().replace('.000Z', 'Z')
  const piece = withExpires(text.slice(start, end), id, moment)
  if (piece === undefined) throw notEditable(file)
  const edited = splice(text, start, end, piece)
  checkOnlyExpired(keys, readApiKeys(edited, file).keys, { file, id, expiresMs })
  return edited
}

/** `text`: the whole file, or the line of one entry, which is YAML too. */
function withExpires(text: string, id: string, moment: string): string | undefined {
  const list = entryList(parseDocument(text))
  const entry = list?.items.find((item): item is YAMLMap => isMap(item) && item.get('id') === id)
  const last = entry?.items.at(-1)?.value
  if (entry === undefined || !isNode(last)) return undefined
  const expires = entry.get('expires', true)
  if (isNode(expires)) return splice(text, ...rangeOf(expires), moment)
  const end = endOfContent(last)
  if (entry.flow === true) return splice(text, end, end, `, expires: ${moment}`)
  const indent = ' '.repeat(columnOf(text, rangeOf(entry)[0]))
  const at = endOfLine(text, end)
  return splice(text, at, at, `${eolOf(text)}${indent}expires: ${moment}`)
}

function checkOnlyExpired(
  before: ApiKeys,
  after: ApiKeys,
  wanted: { readonly file: string; readonly id: string; readonly expiresMs: number },
): void {
  const edited = after.entries()
  for (const entry of before.entries()) {
    const expected = entry.id === wanted.id ? { ...entry, expiresMs: wanted.expiresMs } : entry
    const found = edited.next()
    if (found.done === true || !isSameKey(expected, found.value)) throw notEditable(wanted.file)
  }
  if (edited.next().done !== true) throw notEditable(wanted.file)
}

function isSameKey(a: ApiKeyEntry, b: ApiKeyEntry): boolean {
  return (
    a.id === b.id &&
    a.sha256 === b.sha256 &&
    a.product === b.product &&
    a.consumer === b.consumer &&
    a.notBeforeMs === b.notBeforeMs &&
    a.expiresMs === b.expiresMs
  )
}

function entryList(document: { readonly contents: unknown }): YAMLSeq | undefined {
  const { contents } = document
  const list = isMap(contents) ? contents.get('keys', true) : contents
  return isSeq(list) ? list : undefined
}

function lastOf(keys: ApiKeys): ApiKeyEntry {
  let last: ApiKeyEntry | undefined
  for (const entry of keys.entries()) last = entry
  if (last === undefined) throw new TypeError('a file of lines has an entry')
  return last
}

/** Where line `line` (from 1) begins and ends, without its line break. */
function lineSpan(text: string, line: number): { readonly start: number; readonly end: number } {
  let start = 0
  for (let i = 1; i < line; i++) start = text.indexOf('\n', start) + 1
  return { start, end: endOfLine(text, start) }
}

function endOfLine(text: string, from: number): number {
  const end = text.indexOf('\n', from)
  if (end === -1) return text.length
  return text[end - 1] === '\r' ? end - 1 : end
}

function eolOf(text: string): string {
  return text.includes('\r\n') ? '\r\n' : '\n'
}

function columnOf(text: string, offset: number): number {
  return offset - (text.lastIndexOf('\n', offset - 1) + 1)
}

function rangeOf(node: Node): [start: number, end: number] {
  const [start, end] = node.range ?? []
  if (start === undefined || end === undefined) throw new TypeError('a parsed node has a range')
  return [start, end]
}

/** Where a node ends. The range of a block collection goes on to the next content, over comments and empty lines. */
function endOfContent(node: Node): number {
  const isBlock = (isMap(node) || isSeq(node)) && node.flow !== true
  const last = isBlock ? node.items.at(-1) : undefined
  const child = isPair(last) ? last.value : last
  return isNode(child) ? endOfContent(child) : rangeOf(node)[1]
}

function splice(text: string, start: number, end: number, insertion: string): string {
  return text.slice(0, start) + insertion + text.slice(end)
}

function notEditable(file: string): PosternError {
  return new PosternError(
    'ERR_CONFIG_INVALID',
    `${file}: is written in a way that cannot be edited by a program, edit it by hand`,
  )
}
