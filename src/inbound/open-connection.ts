import type { LiveConnection } from '../proxy/live-connections.ts'

/** A connection that can be told of; only who asks pays for it. */
export interface OpenConnection extends LiveConnection {
  describe(): ConnectionDescription
}

/** What is known of an open connection. */
export interface ConnectionDescription {
  readonly protocol: 'http/1.1' | 'h2' | 'tcp'
  readonly clientAddress: string
  readonly clientPort: number
  /** Milliseconds since 1970. */
  readonly openedMs: number
  /** Of the last request that was allowed on it. */
  readonly product?: string
  readonly principal?: string
}
