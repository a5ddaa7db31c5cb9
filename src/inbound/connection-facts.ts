import type { Client } from './client.ts'
import type { PresentedChain } from '../tls/presented-chain.ts'

/** What is known of a connection when its requests begin. */
export interface ConnectionFacts {
  /** What TLS showed; 'plaintext' without TLS. */
  readonly presented: PresentedChain | 'plaintext'
  readonly protocol: 'http/1.1' | 'h2'
  readonly client: Client
  /** Milliseconds since 1970. */
  readonly openedMs: number
}
