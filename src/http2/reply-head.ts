import type { Fields } from '../core/fields.ts'
import type { StreamRule } from './errors.ts'
import type { FieldList } from './field-list.ts'
import type { Malformed } from './request-head.ts'

/** The head of a reply, final or informational (1xx). */
export interface ReplyHead {
  readonly kind: 'reply'
  readonly status: number
  readonly fields: Fields
  /** From content-length; undefined when there is none. */
  readonly contentLength: number | undefined
}

export interface Trailers {
  readonly kind: 'trailers'
  readonly fields: Fields
}

/** Reads a reply's header block, RFC 9113 8.3.2. */
export function readReply(list: FieldList, isEnd: boolean): ReplyHead | Malformed {
  if (list.isTooLarge) return malformed('header_list_too_large')
  const first = list.fields[0]
  if (first?.kind !== ':status') return malformed(first?.fault ?? 'pseudo_missing')
  if (first.fault !== undefined) return malformed(first.fault)
  const status = Number(first.value)
  // 101 does not exist in HTTP/2 (8.6), and an informational reply is not the end (8.1).
  if (status === 101 || (status < 200 && isEnd)) return malformed('status_invalid')
  return replyFields(list, status)
}

function replyFields(list: FieldList, status: number): ReplyHead | Malformed {
  const fields: string[] = []
  let contentLength: number | undefined
  for (let i = 1; i < list.fields.length; i++) {
    const field = list.fields[i]
    if (field === undefined) break
    if (field.fault !== undefined) return malformed(field.fault)
    if (field.kind === ':status') return malformed('pseudo_repeated')
    if (field.kind.startsWith(':')) return malformed('pseudo_misplaced')
    if (field.kind === 'content-length') {
      if (contentLength !== undefined) return malformed('content_length_repeated')
      contentLength = Number(field.value)
    }
    fields.push(field.name, field.value)
  }
  return { kind: 'reply', status, fields, contentLength }
}

/** Reads a trailer section, RFC 9113 8.1: no pseudo-header fields, nothing that frames or routes. */
export function readTrailers(list: FieldList): Trailers | Malformed {
  if (list.isTooLarge) return malformed('header_list_too_large')
  const fields: string[] = []
  for (const { kind, name, value, fault } of list.fields) {
    if (fault !== undefined) return malformed(fault)
    if (kind.startsWith(':')) return malformed('pseudo_misplaced')
    if (kind === 'content-length' || kind === 'host') return malformed('trailer_forbidden')
    fields.push(name, value)
  }
  return { kind: 'trailers', fields }
}

function malformed(rule: StreamRule): Malformed {
  return { kind: 'malformed', rule }
}
