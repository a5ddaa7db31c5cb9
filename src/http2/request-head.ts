import type { Fields } from '../core/fields.ts'
import { isAuthority, isSameAuthority } from './authority.ts'
import type { StreamRule } from './errors.ts'
import type { FieldList } from './field-list.ts'
import type { HeaderField } from './header-field.ts'
import { maxPathBytes } from './limits.ts'

/** What a request asks for, RFC 9113 8.3.1. */
export interface RequestTarget {
  readonly method: string
  readonly scheme: string
  /** `host[:port]`, checked. */
  readonly authority: string
  /** Begins with `/`, or is `*`. */
  readonly path: string
  /** `:protocol` of RFC 8441; then the method is CONNECT. */
  readonly protocol?: string | undefined
}

/** The head of a request as it came. */
export interface RequestHead extends RequestTarget {
  readonly kind: 'request'
  /**
   * Regular fields, names in lower case. `host` is not among them: `authority` is the checked truth. Cookie crumbs are joined
   * (RFC 9113 8.2.3) at the place of the first.
   */
  readonly fields: Fields
  /** From content-length; undefined when there is none. */
  readonly contentLength: number | undefined
  /** No body and no trailers follow; `onEnd` will not be called. */
  readonly isEnd: boolean
}

/** A request that HTTP understands and we refuse, with the status to refuse it with. */
export const requestRefusals = {
  /** Neither `:authority` nor Host, or an empty one. */
  authority_missing: 400,
  /** Not `host[:port]`, or with userinfo. */
  authority_malformed: 400,
  /** Host says something else than `:authority`. */
  authority_host_mismatch: 400,
  host_repeated: 400,
  /** TRACE, and CONNECT that is not RFC 8441's; in any case, because a workload may not care for case either. */
  method_refused: 405,
  /** Above `maxPathBytes`. */
  path_too_long: 414,
  /** Above `maxHeaderListBytes` or `maxHeaderFields`. */
  header_list_too_large: 431,
} as const

export type RequestRefusal = keyof typeof requestRefusals

/** A header block that breaks RFC 9113 8: a stream error (8.1.1). */
export interface Malformed {
  readonly kind: 'malformed'
  readonly rule: StreamRule
}

/** The owner answers it with the status of `requestRefusals`. */
interface Refused {
  readonly kind: 'refused'
  readonly refusal: RequestRefusal
}

/** What is known of a request that is refused: how its answer is to be written depends on it. */
export interface RefusedHead {
  /** `GET` when it is not known. */
  readonly method: string
  /** Those within the limits, as they came: nothing of them is checked. */
  readonly fields: Fields
}

/** Reads a request's header block; `allowsConnect` when our SETTINGS_ENABLE_CONNECT_PROTOCOL says so. */
export function readRequest(
  list: FieldList,
  isEnd: boolean,
  allowsConnect: boolean,
): RequestHead | Malformed | Refused {
  if (list.isTooLarge)
    return refused(list.isPathTooLong ? 'path_too_long' : 'header_list_too_large')
  const parts = new RequestParts()
  for (const field of list.fields) {
    const rule = field.fault ?? parts.add(field)
    if (rule !== undefined) return malformed(rule)
  }
  return parts.head(isEnd, allowsConnect)
}

/** Reads what there is of a request that `readRequest` has refused. */
export function readRefusedHead(list: FieldList): RefusedHead {
  const method = list.fields.find(({ kind }) => kind === ':method')?.value ?? 'GET'
  return { method, fields: list.fields.flatMap(({ name, value }) => [name, value]) }
}

/** What was read so far; each `add` returns the rule that the field breaks beside those before it. */
class RequestParts {
  readonly #fields: string[] = []
  #hasRegular = false
  #method: string | undefined
  #scheme: string | undefined
  #authority: string | undefined
  #path: string | undefined
  #protocol: string | undefined
  #host: string | undefined
  #hosts = 0
  #contentLength: number | undefined
  #cookieAt = -1

  add(field: HeaderField): StreamRule | undefined {
    if (isPseudo(field)) return this.#hasRegular ? 'pseudo_after_regular' : this.#addPseudo(field)
    this.#hasRegular = true
    return this.#addRegular(field)
  }

  #addPseudo({ kind, value }: HeaderField): StreamRule | undefined {
    switch (kind) {
      case ':method':
        if (this.#method !== undefined) return 'pseudo_repeated'
        this.#method = value
        return undefined
      case ':scheme':
        if (this.#scheme !== undefined) return 'pseudo_repeated'
        this.#scheme = value
        return undefined
      case ':authority':
        if (this.#authority !== undefined) return 'pseudo_repeated'
        this.#authority = value
        return undefined
      case ':path':
        if (this.#path !== undefined) return 'pseudo_repeated'
        this.#path = value
        return undefined
      case ':protocol':
        if (this.#protocol !== undefined) return 'pseudo_repeated'
        this.#protocol = value
        return undefined
      case ':status':
      case ':unknown':
      case 'regular':
      case 'cookie':
      case 'host':
      case 'te':
      case 'content-length':
      case 'connection':
        return 'pseudo_misplaced'
    }
  }

  #addRegular({ kind, name, value }: HeaderField): StreamRule | undefined {
    if (kind === 'host') {
      this.#host = value
      this.#hosts++
      return undefined
    }
    if (kind === 'cookie') {
      this.#addCookie(value)
      return undefined
    }
    if (kind === 'content-length') {
      if (this.#contentLength !== undefined) return 'content_length_repeated'
      this.#contentLength = Number(value)
    }
    this.#fields.push(name, value)
    return undefined
  }

  #addCookie(crumb: string): void {
    if (this.#cookieAt < 0) {
      this.#cookieAt = this.#fields.push('cookie', crumb) - 1
    } else {
      this.#fields[this.#cookieAt] = `${this.#fields[this.#cookieAt] ?? ''}; ${crumb}`
    }
  }

  /** What all fields together have to be. */
  head(isEnd: boolean, allowsConnect: boolean): RequestHead | Malformed | Refused {
    const method = this.#method
    if (method === undefined) return malformed('pseudo_missing')
    if (this.#protocol !== undefined) {
      if (method !== 'CONNECT' || !allowsConnect) return malformed('protocol_unexpected')
    } else if (isRefusedMethod(method)) {
      return refused('method_refused')
    }
    return this.#withTarget(method, isEnd)
  }

  #withTarget(method: string, isEnd: boolean): RequestHead | Malformed | Refused {
    const scheme = this.#scheme
    const path = this.#path
    if (scheme === undefined || path === undefined) return malformed('pseudo_missing')
    if (path === '*' && method !== 'OPTIONS') return malformed('path_invalid')
    if (path.length > maxPathBytes) return refused('path_too_long')
    const authority = this.#authority ?? this.#host ?? ''
    const refusal = this.#authorityRefusal(authority, scheme)
    if (refusal !== undefined) return refused(refusal)
    return {
      kind: 'request',
      method,
      scheme,
      authority,
      path,
      protocol: this.#protocol,
      fields: this.#fields,
      contentLength: this.#contentLength,
      isEnd,
    }
  }

  #authorityRefusal(authority: string, scheme: string): RequestRefusal | undefined {
    if (this.#hosts > 1) return 'host_repeated'
    if (authority === '') return 'authority_missing'
    if (!isAuthority(authority)) return 'authority_malformed'
    if (this.#host === undefined || isSameAuthority(this.#host, authority, scheme)) return undefined
    return 'authority_host_mismatch'
  }
}

function isPseudo(field: HeaderField): boolean {
  return field.kind.charCodeAt(0) === colon
}

const colon = 0x3a

function isRefusedMethod(method: string): boolean {
  switch (method.length) {
    case 5:
      return method.toUpperCase() === 'TRACE'
    case 7:
      return method.toUpperCase() === 'CONNECT'
    default:
      return false
  }
}

function malformed(rule: StreamRule): Malformed {
  return { kind: 'malformed', rule }
}

function refused(refusal: RequestRefusal): Refused {
  return { kind: 'refused', refusal }
}
