/** Codes that a request and a reply can both be refused for, with the status that a request gets. */
const sharedStatus = {
  /** A line ends in LF without CR. */
  line_ending_malformed: 400,
  /** No colon, a name that is no token (white space before the colon too), or a control character in a value. */
  field_malformed: 400,
  /** A field line begins with white space (obs-fold). */
  field_folded: 400,
  /** Connection is no list of tokens, or lists too many. */
  connection_malformed: 400,
  content_length_malformed: 400,
  /** Two ways to frame one message: Content-Length twice, beside Transfer-Encoding, or Transfer-Encoding in HTTP/1.0. */
  framing_ambiguous: 400,
  /** Transfer-Encoding is anything but exactly `chunked`. */
  transfer_encoding_unsupported: 400,
  chunk_malformed: 400,
  /** A chunk's head, or all chunk extensions of a message, are above the limit. */
  chunk_head_too_large: 413,
  /** A trailer that frames, routes, authenticates or describes the message (RFC 9110 6.5.1). */
  trailer_forbidden: 400,
  trailers_too_large: 431,
  head_too_large: 431,
  too_many_fields: 431,
  version_unsupported: 505,
} as const

const requestStatus = {
  ...sharedStatus,
  request_line_malformed: 400,
  request_line_too_long: 414,
  /** Neither origin-form, absolute-form of http(s), nor `*` with OPTIONS; a fragment, a space, or a byte outside ASCII. */
  target_malformed: 400,
  /** CONNECT and TRACE. */
  method_not_allowed: 405,
  host_missing: 400,
  host_ambiguous: 400,
  host_malformed: 400,
  /** Host is not the authority of the absolute-form target. */
  host_mismatch: 400,
  /** Expect is anything but `100-continue`. */
  expectation_unsupported: 417,
  /** Never from the reader, which has no clock: for the owner, when a head does not come in time. */
  head_too_slow: 408,
} as const

export type SharedRefusalCode = keyof typeof sharedStatus
export type RefusalCode = keyof typeof requestStatus
export type RefusalStatus = (typeof requestStatus)[RefusalCode]

export type ReplyRefusalCode =
  | SharedRefusalCode
  | 'status_line_malformed'
  | 'status_line_too_long'
  /** Bytes came while no reply was expected: the connection can carry nothing more. */
  | 'reply_unexpected'
  | 'too_many_informational_replies'

/** Why a request was refused. The connection carries nothing after it but the reply. */
export interface Refusal {
  readonly status: RefusalStatus
  readonly code: RefusalCode
  /** One phrase for logs; names fields, never quotes what was sent. */
  readonly detail: string
}

/** Why a reply was refused. The connection carries nothing after it. */
export interface ReplyRefusal {
  readonly code: ReplyRefusalCode
  readonly detail: string
}

/** The refusal of a request with the status that belongs to `code`. */
export function refusal(code: RefusalCode, detail: string): Refusal {
  return { status: requestStatus[code], code, detail }
}

/** What a parser returns in place of a value when the bytes break a rule; told apart with `instanceof`. */
export class Fault<Code extends string = SharedRefusalCode> {
  readonly code: Code
  readonly detail: string

  constructor(code: Code, detail: string) {
    this.code = code
    this.detail = detail
  }
}
