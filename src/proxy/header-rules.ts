import type { Fields } from '../core/fields.ts'

/** What the data path does with a header field, by its name. */
type FieldClass =
  'keep' | 'drop' | 'apiKey' | 'authorization' | 'te' | 'traceparent' | 'tracestate' | 'requestId'

/** What one pass over a request's header found. */
export interface ScannedRequest {
  /** Fields to forward: nothing hop-by-hop, no framing, no identity, no key. Ours are appended to it. */
  readonly kept: string[]
  /** The API key as presented; several different ones are joined, so that they match none. */
  readonly apiKey: string | undefined
  readonly traceparent: string | undefined
  readonly tracestate: string | undefined
  /** The caller's `x-request-id` when it is well-formed. */
  readonly requestId: string | undefined
  readonly wantsTrailers: boolean
}

/**
 * Names that never pass through (RFC 9110 7.6.1), that frame the message, that only we may set, or that we set anew.
 * `x-postern-*` is dropped by prefix.
 */
const droppedFromRequests = new Set([
  'connection',
  'content-length',
  'host',
  'http2-settings',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'x-forwarded-client-cert',
  'x-forwarded-for',
  'x-forwarded-host',
  'x-forwarded-proto',
  'forwarded',
  'x-real-ip',
])

const droppedFromReplies = new Set([
  'connection',
  'content-length',
  'keep-alive',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
])

const identityPrefix = 'x-postern-'
const requestIdShape = /^[A-Za-z0-9._:/+=@-]{1,128}$/
const apiKeyScheme = /^apikey +/i

/** Names seen, as sent, with their class. Bounded: names come from outside. */
const rememberedNames = 1_024

/** The header rules of DESIGN.md 8 for one listener. */
export class HeaderRules {
  readonly #apiKeyHeader: string
  readonly #requestClasses = new Map<string, FieldClass>()
  readonly #replyClasses = new Map<string, FieldClass>()
  readonly #trailerClasses = new Map<string, FieldClass>()

  /** `apiKeyHeader`: any case; with `-` and `_` taken as the same. */
  constructor(apiKeyHeader: string) {
    this.#apiKeyHeader = canonical(apiKeyHeader)
  }

  /** One pass: what is forwarded, and what was asked for by name. */
  scanRequest(fields: Fields, connectionOptions: readonly string[]): ScannedRequest {
    const kept: string[] = []
    let apiKey: string | undefined
    let traceparent: string | undefined
    let tracestate: string | undefined
    let requestId: string | undefined
    let wantsTrailers = false
    for (let i = 0; i < fields.length; i += 2) {
      const name = fields[i] ?? ''
      const value = fields[i + 1] ?? ''
      switch (this.#requestClass(name)) {
        case 'keep':
          if (connectionOptions.length === 0 || !connectionOptions.includes(name.toLowerCase())) {
            kept.push(name, value)
          }
          break
        case 'drop':
          break
        case 'apiKey':
          apiKey = joinKeys(apiKey, value)
          break
        case 'authorization':
          if (apiKeyScheme.test(value)) apiKey = joinKeys(apiKey, value.replace(apiKeyScheme, ''))
          else kept.push(name, value)
          break
        case 'te':
          wantsTrailers ||= /(?:^|[\s,])trailers(?:$|[\s,;])/i.test(value)
          break
        case 'traceparent':
          // Two of them are as good as none (W3C Trace Context 3.2).
          traceparent = traceparent === undefined ? value : ''
          break
        case 'tracestate':
          tracestate = tracestate === undefined ? value : `${tracestate},${value}`
          break
        case 'requestId':
          if (requestIdShape.test(value)) requestId = value
          break
      }
    }
    return { kept, apiKey, traceparent, tracestate, requestId, wantsTrailers }
  }

  /** The fields of a reply that pass. */
  replyFields(fields: Fields, connectionOptions: readonly string[]): string[] {
    const kept: string[] = []
    for (let i = 0; i < fields.length; i += 2) {
      const name = fields[i] ?? ''
      if (classOf(this.#replyClasses, name, classOfReplyField) === 'drop') continue
      if (connectionOptions.length > 0 && connectionOptions.includes(name.toLowerCase())) continue
      kept.push(name, fields[i + 1] ?? '')
    }
    return kept
  }

  /** Trailers towards the workload: what may not stand in the head may not come after the body either. */
  requestTrailers(fields: Fields): Fields {
    if (fields.length === 0) return fields
    const kept: string[] = []
    for (let i = 0; i < fields.length; i += 2) {
      const name = fields[i] ?? ''
      const value = fields[i + 1] ?? ''
      const kind = classOf(this.#trailerClasses, name, (lower) => this.#classOfTrailer(lower))
      if (kind === 'keep') kept.push(name, value)
    }
    return kept
  }

  #requestClass(name: string): FieldClass {
    return classOf(this.#requestClasses, name, (lower) => this.#classOfRequestField(lower))
  }

  #classOfRequestField(lower: string): FieldClass {
    const name = canonical(lower)
    if (name === this.#apiKeyHeader) return 'apiKey'
    if (name.startsWith(identityPrefix) || droppedFromRequests.has(name)) return 'drop'
    switch (lower) {
      case 'authorization':
        return 'authorization'
      case 'te':
        return 'te'
      case 'traceparent':
        return 'traceparent'
      case 'tracestate':
        return 'tracestate'
    }
    return name === 'x-request-id' ? 'requestId' : 'keep'
  }

  #classOfTrailer(lower: string): FieldClass {
    return this.#classOfRequestField(lower) === 'keep' ? 'keep' : 'drop'
  }
}

function classOfReplyField(lower: string): FieldClass {
  return droppedFromReplies.has(lower) ? 'drop' : 'keep'
}

/** Looks up the class by the name as sent, so that a name is lower-cased once and not once per request. */
function classOf(
  known: Map<string, FieldClass>,
  name: string,
  classify: (lower: string) => FieldClass,
): FieldClass {
  const remembered = known.get(name)
  if (remembered !== undefined) return remembered
  const kind = classify(name.toLowerCase())
  if (known.size < rememberedNames) known.set(name, kind)
  return kind
}

/** Workloads behind CGI-like gateways see `x_postern_product` and `x-postern-product` as one name; so do we. */
function canonical(name: string): string {
  return name.toLowerCase().replaceAll('_', '-')
}

function joinKeys(seen: string | undefined, value: string): string {
  return seen === undefined || seen === value ? value : `${seen}, ${value}`
}
