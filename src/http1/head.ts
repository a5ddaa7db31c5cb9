import type { Fields } from '../core/fields.ts'

/** How many bytes of body follow a head, RFC 9112 6.3. `close`: until the connection ends, replies only. */
export type Framing =
  | { readonly kind: 'none' }
  | { readonly kind: 'length'; readonly bytes: number }
  | { readonly kind: 'chunked' }
  | { readonly kind: 'close' }

/** The head of a request that may be forwarded: every rule of DESIGN.md 8 about its form holds. */
export interface RequestHead {
  /** As sent, case-sensitive; any token but CONNECT and TRACE. */
  readonly method: string
  /** As sent. */
  readonly target: string
  /** Origin form with the query, taken out of an absolute-form target; `*` with OPTIONS only. */
  readonly path: string
  /** `host[:port]` as sent; '' only where HTTP/1.0 sent none. */
  readonly authority: string
  /** Of an absolute-form target. */
  readonly scheme: 'http' | 'https' | undefined
  readonly minorVersion: 0 | 1
  /** All fields as received, the ones for framing and for this connection too. */
  readonly fields: Fields
  /** Never `close`. */
  readonly framing: Framing
  /** Whether the connection may carry another request after this one. */
  readonly persistent: boolean
  /** What Connection lists, lower-cased. */
  readonly connectionOptions: readonly string[]
  /** The caller waits for `100 Continue` before it sends the body; false where no body follows. */
  readonly expectsContinue: boolean
  /** The value of Upgrade, when Connection lists it; never in HTTP/1.0. */
  readonly upgrade: string | undefined
}

/** The head of a reply. */
export interface ReplyHead {
  /** 100 to 999. */
  readonly status: number
  /** '' when none was sent. */
  readonly reason: string
  readonly minorVersion: 0 | 1
  /** All fields as received, the ones for framing and for this connection too. */
  readonly fields: Fields
  /** What follows here. */
  readonly framing: Framing
  /**
   * What the fields say: differs from `framing` where no body may follow, as in the reply to HEAD and with 304, and is what to
   * write when such a head is forwarded. `none` where the fields say nothing, and with 1xx and 204, which may not say it.
   */
  readonly announced: Framing
  /** Whether the connection may carry another request after this reply. */
  readonly persistent: boolean
  /** What Connection lists, lower-cased. */
  readonly connectionOptions: readonly string[]
  /** `Keep-Alive: timeout=N`: when the other end means to close an idle connection. */
  readonly keepAliveTimeoutSeconds?: number
}

export const noBody: Framing = { kind: 'none' }
export const chunkedBody: Framing = { kind: 'chunked' }
export const bodyUntilClose: Framing = { kind: 'close' }

export const noFields: Fields = []
