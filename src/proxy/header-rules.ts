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
])

/** What strangers say of a caller is never believed. */
const saysWhoCalls = new Set([
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
  'proxy-authenticate',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
])

const identityPrefix = 'x-postern-'

/** The header rules of DESIGN.md 8 for one listener. */
export class HeaderRules {
  readonly #requestFields: FieldClasses
  readonly #replyFields: FieldClasses

  private constructor(
    classOfRequest: (lowerCaseName: string) => FieldClass,
    classOfReply: (lowerCaseName: string) => FieldClass,
  ) {
    this.#requestFields = new FieldClasses(classOfRequest)
    this.#replyFields = new FieldClasses(classOfReply)
  }

  /** For requests to the workload. `apiKeyHeader`: any case; with `-` and `_` taken as the same. */
  static inbound(apiKeyHeader: string): HeaderRules {
    const keyHeader = canonical(apiKeyHeader)
    return new HeaderRules((name) => classOfRequestField(name, keyHeader), classOfReplyField)
  }

  /**
   * For calls of the workload. A key in one is the peer's business and passes, as does what the workload says of its own caller
   * (`x-forwarded-for` and its kin). Identity headers pass in neither direction: the peer knows us by our SVID, and the workload
   * believes what we say in them.
   */
  static outbound(): HeaderRules {
    return new HeaderRules(classOfOutboundField, classOfPeerReplyField)
  }

  /** One pass: what is forwarded, and what was asked for by name. */
  scanRequest(fields: Fields, connectionOptions: readonly string[]): ScannedRequest {
    const scan = new RequestScan()
    const listed = listedNames(connectionOptions)
    for (let i = 0; i < fields.length; i += 2) {
      const name = fields[i] ?? ''
      const value = fields[i + 1] ?? ''
      const kind = this.#requestFields.classOf(name)
      if (isListed(name, listed) && !isForUs(kind, value)) continue
      scan.take(kind, name, value)
    }
    return scan
  }

  /** The fields, or trailers, of a reply that pass. */
  replyFields(fields: Fields, connectionOptions: readonly string[]): string[] {
    const kept: string[] = []
    const listed = listedNames(connectionOptions)
    for (let i = 0; i < fields.length; i += 2) {
      const name = fields[i] ?? ''
      if (this.#replyFields.classOf(name) === 'drop' || isListed(name, listed)) continue
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
      if (this.#requestFields.classOf(name) === 'keep') kept.push(name, fields[i + 1] ?? '')
    }
    return kept
  }
}

const requestIdShape = /^[A-Za-z0-9._:/+=@-]{1,128}$/
const apiKeyScheme = /^apikey(?:[ \t]+|$)/i
const trailersAccepted = /(?:^|[\s,])trailers(?:$|[\s,;])/i

/** Filled field by field. */
class RequestScan implements ScannedRequest {
  readonly kept: string[] = []
  apiKey: string | undefined
  traceparent: string | undefined
  tracestate: string | undefined
  wantsTrailers = false
  #requestId: string | undefined

  get requestId(): string | undefined {
    const id = this.#requestId
    return id !== undefined && requestIdShape.test(id) ? id : undefined
  }

  take(kind: FieldClass, name: string, value: string): void {
    switch (kind) {
      case 'keep':
        this.kept.push(name, value)
        break
      case 'drop':
        break
      case 'apiKey':
        this.#takeKey(value)
        break
      case 'authorization':
        if (apiKeyScheme.test(value)) this.#takeKey(value.replace(apiKeyScheme, ''))
        else this.kept.push(name, value)
        break
      case 'te':
        this.wantsTrailers ||= trailersAccepted.test(value)
        break
      case 'traceparent':
        // Two of them are as good as none (W3C Trace Context 3.2).
        this.traceparent = this.traceparent === undefined ? value : ''
        break
      case 'tracestate':
        this.tracestate = this.tracestate === undefined ? value : `${this.tracestate},${value}`
        break
      case 'requestId':
        this.#requestId = this.#requestId === undefined ? value : ''
        break
    }
  }

  #takeKey(key: string): void {
    const seen = this.apiKey
    this.apiKey = seen === undefined || seen === key ? key : `${seen}, ${key}`
  }
}

/** Names come from outside: at most so many are remembered, of at most so many characters. */
const rememberedNames = 1_024
const longestRememberedName = 64

/** Classes by the name as sent, so that a name is lower-cased once per spelling and not once per request. */
class FieldClasses {
  readonly #classify: (lowerCaseName: string) => FieldClass
  readonly #known = new Map<string, FieldClass>()

  constructor(classify: (lowerCaseName: string) => FieldClass) {
    this.#classify = classify
  }

  classOf(name: string): FieldClass {
    return this.#known.get(name) ?? this.#remember(name)
  }

  #remember(name: string): FieldClass {
    const kind = this.#classify(name.toLowerCase())
    if (name.length > longestRememberedName) return kind
    // A flood of invented names costs the others one look each, and is over when the map starts anew.
    if (this.#known.size >= rememberedNames) this.#known.clear()
    this.#known.set(name, kind)
    return kind
  }
}

function classOfRequestField(lowerCaseName: string, keyHeader: string): FieldClass {
  const name = canonical(lowerCaseName)
  if (name === keyHeader) return 'apiKey'
  if (isIdentity(name) || droppedFromRequests.has(name) || saysWhoCalls.has(name)) return 'drop'
  return lowerCaseName === 'authorization' ? 'authorization' : classOfCommonField(lowerCaseName)
}

function classOfOutboundField(lowerCaseName: string): FieldClass {
  const name = canonical(lowerCaseName)
  if (isIdentity(name) || droppedFromRequests.has(name)) return 'drop'
  return classOfCommonField(lowerCaseName)
}

function classOfCommonField(lowerCaseName: string): FieldClass {
  switch (lowerCaseName) {
    case 'te':
    case 'traceparent':
    case 'tracestate':
      return lowerCaseName
    default:
      return canonical(lowerCaseName) === 'x-request-id' ? 'requestId' : 'keep'
  }
}

function classOfPeerReplyField(lowerCaseName: string): FieldClass {
  return isIdentity(canonical(lowerCaseName)) ? 'drop' : classOfReplyField(lowerCaseName)
}

/** Says who somebody is; takes a canonical name. */
function isIdentity(name: string): boolean {
  return name.startsWith(identityPrefix) || name === 'x-forwarded-client-cert'
}

function classOfReplyField(lowerCaseName: string): FieldClass {
  return droppedFromReplies.has(lowerCaseName) ? 'drop' : 'keep'
}

/** Workloads behind CGI-like gateways see `x_postern_product` and `x-postern-product` as one name; so do we. */
function canonical(name: string): string {
  return name.toLowerCase().replaceAll('_', '-')
}

/** Options that are no names of fields, or of fields that never pass; nearly every Connection lists only these. */
const usualOptions = new Set(['close', 'keep-alive', 'te', 'upgrade'])

/** The fields that Connection makes hop-by-hop (RFC 9110 7.6.1); undefined when there are none to look for. */
function listedNames(connectionOptions: readonly string[]): readonly string[] | undefined {
  for (const option of connectionOptions) if (!usualOptions.has(option)) return connectionOptions
  return undefined
}

function isListed(name: string, listed: readonly string[] | undefined): boolean {
  return listed?.includes(name.toLowerCase()) === true
}

/** What the next hop is to read is for us: TE must be listed, and a key that is listed is a key all the same. */
function isForUs(kind: FieldClass, value: string): boolean {
  return (
    kind === 'te' || kind === 'apiKey' || (kind === 'authorization' && apiKeyScheme.test(value))
  )
}
