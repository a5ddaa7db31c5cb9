import { PosternError } from '../core/errors.ts'
import type { SourcePosition } from './source-position.ts'

/** What a request asks for, as it was sent. */
export interface RequestLine {
  readonly method: string
  /** Host or authority, with or without a port. */
  readonly host: string
  /** Request target in origin form, with its query; or `*`. */
  readonly path: string
}

/** A request in the one spelling that rules are matched on, or why it has none. */
export type NormalRequest =
  | {
      readonly kind: 'normal'
      readonly method: string
      readonly host: string
      readonly path: string
    }
  | { readonly kind: 'ambiguous'; readonly detail: string }

/**
 * Brings a request into the spelling that rules are matched on: lower-case host without port and closing dot, path without
 * query, percent-encoded unreserved characters decoded once (RFC 3986 6.2.2). A path that two readers could read
 * differently (encoded slash, backslash, NUL, dot segment, empty segment, double encoding) is `ambiguous`, and no rule allows it.
 */
export function normaliseRequest(request: RequestLine): NormalRequest {
  const path = normalisePath(request.path)
  if (path.kind === 'ambiguous') return path
  return {
    kind: 'normal',
    method: request.method,
    host: normaliseHost(request.host),
    path: path.path,
  }
}

type NormalPath =
  | { readonly kind: 'normal'; readonly path: string }
  | { readonly kind: 'ambiguous'; readonly detail: string }

/** Nothing to decode, nothing to refuse: what nearly every path is. No segment begins with a dot, none is empty but the last. */
const plainPath = /^(?:\/[\w~!$&'()*+,=:@-][\w~!$&'()*+,=:@.-]*)*\/?$/

/** What is refused, and how it is named. Looked for before and after decoding: `%25%32e` becomes `%252e`. */
const ambiguities: readonly (readonly [RegExp, string])[] = [
  [/^(?!\/)/, 'does not begin with a slash'],
  [/[^\x21-\x7e]/, 'has a character that must be percent-encoded'],
  [/[\\#]/, 'has a backslash or a fragment'],
  [/%(?![0-9a-f]{2})/i, 'has a broken percent-encoding'],
  [/%(?:2f|5c)/i, 'has an encoded slash or backslash'],
  [/%(?:[01][0-9a-f]|7f)/i, 'has an encoded control character'],
  [/%25(?:2e|2f|5c|00)/i, 'has a doubly encoded dot or slash'],
  [/%(?:c0|c1|f[5-9a-f])/i, 'has an encoded byte that no UTF-8 has'],
  [/\/\//, 'has an empty segment'],
  [/\/(?:\.|%2e){1,2}(?:$|\/|;|%3b)/i, 'has a dot segment'],
]

function normalisePath(target: string): NormalPath {
  const query = target.indexOf('?')
  const path = query === -1 ? target : target.slice(0, query)
  if ((path !== '' && plainPath.test(path)) || path === '*') return { kind: 'normal', path }
  const decoded = path.replace(/%[0-9a-f]{2}/gi, decodeUnreserved)
  const found = ambiguities.find(([shape]) => shape.test(path) || shape.test(decoded))
  return found === undefined
    ? { kind: 'normal', path: decoded }
    : { kind: 'ambiguous', detail: `the path ${found[1]}` }
}

function decodeUnreserved(encoded: string): string {
  const character = String.fromCharCode(Number.parseInt(encoded.slice(1), 16))
  return /[\w.~-]/.test(character) ? character : encoded.toUpperCase()
}

/** A closing dot is the same name in DNS. */
function normaliseHost(host: string): string {
  return host.toLowerCase().replace(/:\d*$/, '').replace(/\.$/, '')
}

/** The texts of one entry of `requests`; what is absent allows everything. */
export interface RequestRuleTexts {
  readonly methods?: readonly string[] | undefined
  readonly hosts?: readonly string[] | undefined
  readonly paths?: readonly string[] | undefined
}

/** One entry of a product's `requests`: a request matches it when its method, host and path all do. */
export class RequestRule {
  readonly position: SourcePosition
  readonly #methods: ReadonlySet<string> | undefined
  readonly #hosts: readonly HostPattern[] | undefined
  readonly #paths: readonly PathPattern[] | undefined

  private constructor(texts: RequestRuleTexts, position: SourcePosition) {
    this.position = position
    this.#methods = texts.methods && withHead(texts.methods)
    this.#hosts = texts.hosts?.map((host) => HostPattern.parse(host))
    this.#paths = texts.paths?.map((path) => PathPattern.parse(path))
  }

  /** Throws `PosternError` ERR_CONFIG_INVALID for a pattern that does not parse. */
  static parse(texts: RequestRuleTexts, position: SourcePosition): RequestRule {
    return new RequestRule(texts, position)
  }

  matches(request: NormalRequest): boolean {
    return request.kind === 'normal' && this.#mismatch(request) === undefined
  }

  /** Why the request does not match, for people; undefined when it does. */
  whyNot(request: NormalRequest): string | undefined {
    if (request.kind === 'ambiguous') return request.detail
    switch (this.#mismatch(request)) {
      case 'method':
        return `method ${request.method} is not one of ${list(this.#methods)}`
      case 'host':
        return `host ${request.host} is not one of ${list(this.#hosts)}`
      case 'path':
        return `path ${request.path} is not one of ${list(this.#paths)}`
      case undefined:
        return undefined
    }
  }

  /** What it allows, in one line. */
  toString(): string {
    const parts = { methods: this.#methods, hosts: this.#hosts, paths: this.#paths }
    return Object.entries(parts)
      .flatMap(([name, values]) => (values === undefined ? [] : [`${name} ${list(values)}`]))
      .join('; ')
  }

  #mismatch(
    request: Extract<NormalRequest, { kind: 'normal' }>,
  ): 'method' | 'host' | 'path' | undefined {
    const { method, host, path } = request
    if (this.#methods?.has(method) === false) return 'method'
    if (this.#hosts?.some((pattern) => pattern.matches(host)) === false) return 'host'
    if (this.#paths?.some((pattern) => pattern.matches(path)) === false) return 'path'
    return undefined
  }
}

/** HEAD is GET without the content (RFC 9110 9.3.2): who may GET may ask for the head of it. */
function withHead(methods: readonly string[]): ReadonlySet<string> {
  return new Set(methods.includes('GET') ? [...methods, 'HEAD'] : methods)
}

function list(values: Iterable<string | HostPattern | PathPattern> | undefined): string {
  return Array.from(values ?? [], String).join(', ')
}

const hostLabel = '[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?'
const hostShape = new RegExp(`^(?:\\*\\.)?${hostLabel}(?:\\.${hostLabel})*$`)
const ipv6Shape = /^\[[0-9a-f:.]+\]$/

/** `api.example` or `*.example`, where `*` is exactly one label, as in certificates. Ports do not count. */
export class HostPattern {
  readonly #text: string
  /** With its leading dot; undefined when the pattern is one name. */
  readonly #suffix: string | undefined

  private constructor(text: string) {
    this.#text = text
    this.#suffix = text.startsWith('*.') ? text.slice(1) : undefined
  }

  /** Throws `PosternError` ERR_CONFIG_INVALID. */
  static parse(text: string): HostPattern {
    if (hostShape.test(text) || ipv6Shape.test(text)) return new HostPattern(text)
    throw invalid(text, 'host name in lower case without port, or *. and one')
  }

  /** `host`: normalised. */
  matches(host: string): boolean {
    if (this.#suffix === undefined) return host === this.#text
    const labelEnd = host.indexOf('.')
    return (
      labelEnd > 0 && host.length - labelEnd === this.#suffix.length && host.endsWith(this.#suffix)
    )
  }

  toString(): string {
    return this.#text
  }
}

/**
 * `/v1/payments` exactly, `*` for exactly one segment that is not empty, and a closing `/**` for everything below (not for
 * what stands before it). Letter case counts.
 */
export class PathPattern {
  readonly #text: string
  /** undefined: any one segment. */
  readonly #segments: readonly (string | undefined)[]
  readonly #isOpen: boolean

  private constructor(text: string, path: string) {
    this.#text = text
    this.#isOpen = path.endsWith('/**')
    const closed = this.#isOpen ? path.slice(0, -3) : path
    this.#segments = closed === '' ? [] : closed.slice(1).split('/').map(toSegment)
  }

  /** Throws `PosternError` ERR_CONFIG_INVALID. */
  static parse(text: string): PathPattern {
    const normal = normalisePath(text)
    if (text.includes('?')) throw invalid(text, 'path without a query')
    if (normal.kind === 'ambiguous') throw invalid(text, `path: ${normal.detail}`)
    const wildcards = normal.path.replace(/\/\*\*$/, '').split('/')
    if (
      !normal.path.startsWith('/') ||
      wildcards.some((part) => part !== '*' && part.includes('*'))
    )
      throw invalid(text, 'path with * as a whole segment or /** at its end')
    return new PathPattern(text, normal.path)
  }

  /** `path`: normalised. */
  matches(path: string): boolean {
    if (!path.startsWith('/')) return false
    let from = 1
    for (const segment of this.#segments) {
      if (from > path.length) return false
      const slash = path.indexOf('/', from)
      const end = slash === -1 ? path.length : slash
      if (!isSegment(path, from, end, segment)) return false
      from = end + 1
    }
    return this.#isOpen ? from <= path.length : from === path.length + 1
  }

  toString(): string {
    return this.#text
  }
}

function toSegment(text: string): string | undefined {
  return text === '*' ? undefined : text
}

function isSegment(path: string, from: number, end: number, wanted: string | undefined): boolean {
  if (wanted === undefined) return end > from
  return end - from === wanted.length && path.startsWith(wanted, from)
}

function invalid(text: string, expected: string): PosternError {
  return new PosternError(
    'ERR_CONFIG_INVALID',
    `${JSON.stringify(text)} is no pattern, expected a ${expected}`,
  )
}
