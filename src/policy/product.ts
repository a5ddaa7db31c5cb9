import type { AddressRules } from './address-rules.ts'
import type { Caller } from './caller.ts'
import type { RequestRule } from './request-rule.ts'
import type { SourcePosition } from './source-position.ts'

/** What a principal calls on behalf of, as products.yaml describes it (DESIGN.md 4). */
export interface Product {
  readonly name: string
  readonly description?: string
  readonly callers: readonly Caller[]
  /** `warn` serves and marks. */
  readonly apiKeys: 'accept' | 'warn' | 'refuse'
  /** From this moment keys are refused, milliseconds since 1970. */
  readonly apiKeysUntilMs?: number
  /** `both`: a certificate, and beside it a key of the same product. */
  readonly require: 'any' | 'certificate' | 'apiKey' | 'both'
  /** The product's own address of the workload, `host:port` or `unix:/path`. */
  readonly upstream?: string
  /** Absent: from everywhere. */
  readonly addresses?: AddressRules
  /** Absent: every request. Otherwise a request must match one of them, and a TCP connection never does. */
  readonly requests?: readonly RequestRule[]
  readonly limit?: Limit
  readonly position: SourcePosition
}

/** At most `count` requests in `periodMs` on average, and `burst` at once. */
export interface Limit {
  readonly count: number
  readonly periodMs: number
  readonly burst: number
  readonly per: 'product' | 'principal'
  /** As written: `100/s`. */
  readonly text: string
}
