/** What one connection may cost. Every limit is per connection unless it says otherwise. */
export interface Http2Limits {
  /** Streams that the peer may have open at once; more are refused with REFUSED_STREAM. Default 100. */
  readonly maxConcurrentStreams: number
  /** Bytes of one decoded header list as RFC 9113 6.5.2 counts them (name + value + 32 each). Default 16384. */
  readonly maxHeaderListBytes: number
  /** Fields of one decoded header list, pseudo-header fields and cookie crumbs included. Default 128. */
  readonly maxHeaderFields: number
  /** Bytes of DATA that a stream may send ahead of `consumed`. Default 262144; 1 .. 2^31-1. */
  readonly streamWindowBytes: number
  /** The same for all streams together: what the owner may have to hold. Default 1048576; 65535 .. 2^31-1. */
  readonly connectionWindowBytes: number
}

export const defaultLimits: Http2Limits = {
  maxConcurrentStreams: 100,
  maxHeaderListBytes: 16_384,
  maxHeaderFields: 128,
  streamWindowBytes: 262_144,
  connectionWindowBytes: 1_048_576,
}

/** Our SETTINGS_MAX_FRAME_SIZE: the protocol's default, so that a frame in pieces never holds more than this. */
export const maxFrameBytes = 16_384

/** Our SETTINGS_HEADER_TABLE_SIZE (the protocol's default, not negotiated) and the most that our encoder uses of the peer's. */
export const headerTableBytes = 4_096

/** Bytes of `:path`: what HTTP/1.1 has for a request line. Servers should take 8000 (RFC 9110 4.1); more is 414. */
export const maxPathBytes = 8 * 1_024

/**
 * Bytes of one *encoded* header block: HPACK bombs and header floods (CVE-2016-1544, CVE-2024-27316). Far above
 * `maxHeaderListBytes`, so that an honest client with too large a cookie is answered 431 and keeps its connection.
 */
export function maxHeaderBlockBytes(limits: Http2Limits): number {
  return Math.max(65_536, 2 * limits.maxHeaderListBytes)
}

/**
 * CONTINUATION frames of one header block, however short: the CONTINUATION flood (CVE-2024-27983, CVE-2024-28182). A block
 * of 64 KiB needs four.
 */
export const maxContinuationFrames = 32

/**
 * Streams that end badly by the peer's doing: rapid reset (CVE-2023-44487), resets that the peer provokes
 * (CVE-2025-8671), RST floods (CVE-2019-9514), malformed requests, streams above the limit. A bucket of tokens: `burst` at
 * once, `perSecond` for ever, and one back for every stream that ends well, so that a busy gRPC caller which cancels some of
 * its calls never meets it.
 */
export const resetBudget = { burst: 200, perSecond: 30 } as const

/**
 * Frames that move no work: PING (CVE-2019-9512), SETTINGS (CVE-2019-9515), PRIORITY and dependency loops (CVE-2019-9513),
 * empty DATA and CONTINUATION (CVE-2019-9518), WINDOW_UPDATE in drops (CVE-2019-9511, CVE-2019-9517), unknown frames, frames
 * on streams that are gone; and requests that the owner answers by itself. Tokens come back with DATA in either direction (one each `bytesPerControlToken`) and with each
 * stream that ends well (`controlTokensPerStream`), because an honest peer talks in proportion to its work.
 */
export const controlBudget = { burst: 1_000, perSecond: 100 } as const
export const bytesPerControlToken = 64
export const controlTokensPerStream = 8

/** Entries of a SETTINGS frame that one control token pays for. */
export const settingsPerControlToken = 16

/**
 * Frames other than DATA that wait for `takeOutput`: a peer that makes us answer and does not read (CVE-2019-9512,
 * CVE-2019-9515). Above every answer that an honest peer can have outstanding.
 */
export const maxQueuedFrames = 2_000

/**
 * Bytes of DATA that one `takeOutput` hands out: what can pile up in a socket beyond its own buffer, and how long one
 * connection keeps the others waiting.
 */
export const maxDataBytesPerTake = 131_072

/**
 * What one connection may have done for it in one turn of the event loop, a PING being 1: about a quarter of a millisecond, whatever it
 * sends. A request and a reset cost so many times more: both may reach the workload. A request that is refused is the last of its turn.
 */
export const workPerTurn = 128
export const workOfHeaders = 16
export const workOfReset = 8

/** Streams whose end is remembered, so that late frames get the right answer (closed-streams.ts). A power of two. */
export const rememberedStreams = 256

/** Names, as spelled, of which the encoder knows the index and the class: about 100 bytes each. */
export const maxEncoderNames = 256
