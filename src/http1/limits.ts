/** What a peer may make a reader hold or do. Bytes count line ends. */
export interface Http1Limits {
  /** Request line or status line; more is 414. Default 8 KiB. */
  readonly maxStartLineBytes: number
  /** Start line and fields, up to the empty line; more is 431. Default 16 KiB. */
  readonly maxHeadBytes: number
  /** Fields of a head, and again of a trailer section; more is 431. Default 128. */
  readonly maxFields: number
  /** Trailer section after the last chunk; more is 431. Default 4 KiB. */
  readonly maxTrailerBytes: number
  /** One chunk's size and extensions, without the line end; more is 413. Default 256. */
  readonly maxChunkHeadBytes: number
  /** Chunk extensions of one message together; more is 413. Default 4 KiB. */
  readonly maxChunkExtensionBytes: number
  /** Empty lines before a request line, RFC 9112 2.2; more is 400. Default 4. */
  readonly maxLeadingEmptyLines: number
  /** Informational replies before the final one. Default 16. */
  readonly maxInformationalReplies: number
}

export const defaultHttp1Limits: Http1Limits = {
  maxStartLineBytes: 8 * 1024,
  maxHeadBytes: 16 * 1024,
  maxFields: 128,
  maxTrailerBytes: 4 * 1024,
  maxChunkHeadBytes: 256,
  maxChunkExtensionBytes: 4 * 1024,
  maxLeadingEmptyLines: 4,
  maxInformationalReplies: 16,
}
