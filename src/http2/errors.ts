/** Error codes of RST_STREAM and GOAWAY, RFC 9113 section 7. */
export const h2 = {
  NO_ERROR: 0x0,
  PROTOCOL_ERROR: 0x1,
  INTERNAL_ERROR: 0x2,
  FLOW_CONTROL_ERROR: 0x3,
  SETTINGS_TIMEOUT: 0x4,
  STREAM_CLOSED: 0x5,
  FRAME_SIZE_ERROR: 0x6,
  REFUSED_STREAM: 0x7,
  CANCEL: 0x8,
  COMPRESSION_ERROR: 0x9,
  CONNECT_ERROR: 0xa,
  ENHANCE_YOUR_CALM: 0xb,
  INADEQUATE_SECURITY: 0xc,
  HTTP_1_1_REQUIRED: 0xd,
} as const

/** What a peer can break so that the whole connection ends, with the code of its GOAWAY. Sections are RFC 9113's. */
export const connectionRules = {
  /** 3.4: the client's first 24 bytes. */
  preface_invalid: h2.PROTOCOL_ERROR,
  /** 3.4: the first frame is SETTINGS without ACK. */
  settings_expected: h2.PROTOCOL_ERROR,
  /** 4.2: longer than our SETTINGS_MAX_FRAME_SIZE. */
  frame_too_large: h2.FRAME_SIZE_ERROR,
  /** 6.x: a length that this type cannot have. */
  frame_size_invalid: h2.FRAME_SIZE_ERROR,
  /** 6.1, 6.2: padding as long as the payload or longer. */
  padding_too_long: h2.PROTOCOL_ERROR,
  /** 6.x: this type belongs to a stream. */
  stream_id_zero: h2.PROTOCOL_ERROR,
  /** 6.x: this type belongs to the connection. */
  stream_id_not_zero: h2.PROTOCOL_ERROR,
  /** 5.1.1: a client opens odd streams; a server opens none, as push is off. */
  stream_id_parity: h2.PROTOCOL_ERROR,
  /** 5.1.1: a new stream's number is above all before. */
  stream_id_not_increasing: h2.PROTOCOL_ERROR,
  /** 5.1: only HEADERS and PRIORITY may come on an idle stream. */
  stream_idle: h2.PROTOCOL_ERROR,
  /** 5.1: a frame after both sides had ended the stream. */
  stream_ended: h2.STREAM_CLOSED,
  /** 6.10: a header block is not interrupted. */
  continuation_expected: h2.PROTOCOL_ERROR,
  /** 6.10: no header block is open. */
  continuation_unexpected: h2.PROTOCOL_ERROR,
  /** 6.6: we never allow push. */
  push_refused: h2.PROTOCOL_ERROR,
  /** RFC 7540 5.3.1, on a stream that is not open. */
  priority_self_dependency: h2.PROTOCOL_ERROR,
  /** 6.3, on a stream that is not open. */
  priority_size_invalid: h2.FRAME_SIZE_ERROR,
  /** 6.5.2: a value out of range. */
  setting_invalid: h2.PROTOCOL_ERROR,
  /** 6.5.2, 6.9.2: SETTINGS_INITIAL_WINDOW_SIZE, or a stream's window because of it, above 2^31-1. */
  initial_window_too_large: h2.FLOW_CONTROL_ERROR,
  /** 6.9: WINDOW_UPDATE by nothing. */
  window_increment_zero: h2.PROTOCOL_ERROR,
  /** 6.9.1: the connection's window above 2^31-1. */
  window_overflow: h2.FLOW_CONTROL_ERROR,
  /** 6.9.1: more DATA than the connection's window. */
  window_exceeded: h2.FLOW_CONTROL_ERROR,
  /** 4.3: the header block does not decode. */
  hpack_invalid: h2.COMPRESSION_ERROR,
  /** limits.ts: encoded header block too long. */
  header_block_too_large: h2.ENHANCE_YOUR_CALM,
  /** limits.ts: too many CONTINUATION frames in one block. */
  continuation_flood: h2.ENHANCE_YOUR_CALM,
  /** limits.ts: too many streams reset before they were done. */
  reset_flood: h2.ENHANCE_YOUR_CALM,
  /** limits.ts: too many frames that move no work. */
  control_flood: h2.ENHANCE_YOUR_CALM,
  /** limits.ts: the peer does not read what it makes us say. */
  output_flood: h2.ENHANCE_YOUR_CALM,
} as const

export type ConnectionRule = keyof typeof connectionRules

/** What a peer can break on one stream, with the code of its RST_STREAM. Sections are RFC 9113's. */
export const streamRules = {
  /** 5.1: HEADERS or DATA after END_STREAM or RST_STREAM. */
  stream_closed: h2.STREAM_CLOSED,
  /** 5.1.2: above our SETTINGS_MAX_CONCURRENT_STREAMS. */
  too_many_streams: h2.REFUSED_STREAM,
  /** 6.8: opened after our last GOAWAY. */
  going_away: h2.REFUSED_STREAM,
  /** RFC 7540 5.3.1: a stream cannot depend on itself. */
  priority_self_dependency: h2.PROTOCOL_ERROR,
  /** 6.3: five bytes. */
  priority_size_invalid: h2.FRAME_SIZE_ERROR,
  /** 6.9: WINDOW_UPDATE by nothing. */
  window_increment_zero: h2.PROTOCOL_ERROR,
  /** 6.9.1: the stream's window above 2^31-1. */
  window_overflow: h2.FLOW_CONTROL_ERROR,
  /** 6.9.1: more DATA than the stream's window. */
  window_exceeded: h2.FLOW_CONTROL_ERROR,
  /** 8.1: DATA before a final reply. */
  data_before_head: h2.PROTOCOL_ERROR,
  /** 8.1: the second header block ends the stream. */
  trailers_without_end: h2.PROTOCOL_ERROR,
  /** 8.1.1: DATA is not as long as content-length says. */
  content_length_mismatch: h2.PROTOCOL_ERROR,
  content_length_invalid: h2.PROTOCOL_ERROR,
  content_length_repeated: h2.PROTOCOL_ERROR,
  /** limits.ts: trailers or a reply's head above the limits; a request's head is refused with 431 instead. */
  header_list_too_large: h2.ENHANCE_YOUR_CALM,
  /** 8.2.1: not a lower-case token. */
  field_name_invalid: h2.PROTOCOL_ERROR,
  /** 8.2.1 and RFC 9110 5.5: a control character, or white space at an end. */
  field_value_invalid: h2.PROTOCOL_ERROR,
  /** 8.2.2: connection, keep-alive, proxy-connection, transfer-encoding, upgrade. */
  connection_field: h2.PROTOCOL_ERROR,
  /** 8.2.2: anything but `te: trailers`. */
  te_invalid: h2.PROTOCOL_ERROR,
  /** 8.3: pseudo-header fields; `misplaced`: of a reply in a request, the reverse, or in trailers. */
  pseudo_unknown: h2.PROTOCOL_ERROR,
  pseudo_repeated: h2.PROTOCOL_ERROR,
  pseudo_after_regular: h2.PROTOCOL_ERROR,
  pseudo_misplaced: h2.PROTOCOL_ERROR,
  pseudo_missing: h2.PROTOCOL_ERROR,
  /** 8.1: a field that frames or routes a message, in trailers. */
  trailer_forbidden: h2.PROTOCOL_ERROR,
  /** 8.3.1. */
  method_invalid: h2.PROTOCOL_ERROR,
  scheme_invalid: h2.PROTOCOL_ERROR,
  path_invalid: h2.PROTOCOL_ERROR,
  /** RFC 8441 4: `:protocol` without leave, or with another method than CONNECT. */
  protocol_unexpected: h2.PROTOCOL_ERROR,
  /** 8.3.2, 8.1: three digits; 101 does not exist; 1xx does not end a stream. */
  status_invalid: h2.PROTOCOL_ERROR,
} as const

export type StreamRule = keyof typeof streamRules

/** The fault that ended a connection. */
export interface ConnectionFault {
  readonly rule: ConnectionRule
  /** As in our GOAWAY. */
  readonly code: number
}

/**
 * Thrown from the depth of a parser to `Http2Connection.receive`, which turns it into GOAWAY and `onError`; never leaves
 * this folder otherwise.
 */
export class BrokenRule extends Error {
  override readonly name = 'BrokenRule'
  readonly rule: ConnectionRule

  constructor(rule: ConnectionRule) {
    super(rule)
    this.rule = rule
  }
}
