import type { Http1Limits } from '../http1/limits.ts'
import type { Http2Limits } from '../http2/limits.ts'

/** What the heads of one connection may cost, in the words of the settings: the same in every protocol. */
export interface RequestLimits {
  /** Bytes of a request's head. */
  readonly maxHeaderBytes: number
  /** Fields of a request's head, Host or `:authority` among them, and again of its trailers. */
  readonly maxHeaderFields: number
  /** Of one HTTP/2 connection. */
  readonly maxConcurrentStreams: number
}

export function http1LimitsFor({ maxHeaderBytes, maxHeaderFields }: RequestLimits) {
  return { maxHeadBytes: maxHeaderBytes, maxFields: maxHeaderFields } satisfies Partial<Http1Limits>
}

export function http2LimitsFor(limits: RequestLimits) {
  return {
    maxHeaderListBytes: limits.maxHeaderBytes,
    maxHeaderFields: limits.maxHeaderFields + requestLineFields,
    maxConcurrentStreams: limits.maxConcurrentStreams,
  } satisfies Partial<Http2Limits>
}

/** `:method`, `:scheme` and `:path`: what HTTP/1.1 says in its request line, where it is no field. */
const requestLineFields = 3
