/** Frame types, RFC 9113 6. */
export const frameType = {
  DATA: 0x0,
  HEADERS: 0x1,
  PRIORITY: 0x2,
  RST_STREAM: 0x3,
  SETTINGS: 0x4,
  PUSH_PROMISE: 0x5,
  PING: 0x6,
  GOAWAY: 0x7,
  WINDOW_UPDATE: 0x8,
  CONTINUATION: 0x9,
} as const

/** Frame flags, RFC 9113 6. */
export const frameFlag = {
  END_STREAM: 0x1,
  ACK: 0x1,
  END_HEADERS: 0x4,
  PADDED: 0x8,
  PRIORITY: 0x20,
} as const

/** Settings, RFC 9113 6.5.2 and RFC 8441 3. */
export const setting = {
  HEADER_TABLE_SIZE: 0x1,
  ENABLE_PUSH: 0x2,
  MAX_CONCURRENT_STREAMS: 0x3,
  INITIAL_WINDOW_SIZE: 0x4,
  MAX_FRAME_SIZE: 0x5,
  MAX_HEADER_LIST_SIZE: 0x6,
  ENABLE_CONNECT_PROTOCOL: 0x8,
} as const

/** Every frame begins with this many bytes. */
export const frameHeaderBytes = 9

/** What a client says first, RFC 9113 3.4. */
export const clientPreface = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'

/** The window of a connection, and of a stream until SETTINGS say otherwise. */
export const protocolWindowBytes = 65_535

/** The largest window, stream number and increment. */
export const largest31 = 0x7f_ff_ff_ff
