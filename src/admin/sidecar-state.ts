import type { PeerFailure } from './memory/peer-failures.ts'
import type { TrustState } from '../policy/trust-state.ts'
import type { X509Svid } from '../spiffe/x509-svid.ts'

/** What the admin port asks of the running sidecar. Nothing of it costs anything until somebody looks. */
export interface SidecarState {
  readonly version: string
  /** Milliseconds since 1970. */
  readonly startedMs: number
  /** Where callers connect to, and where their requests go. */
  readonly listen: string
  readonly upstream: string
  /** Our own identity, expired or not; undefined: none was given to us, or it was taken back. */
  svid(): X509Svid | undefined
  identitySource(): IdentitySource
  trust(): TrustState
  /** What is missing before callers can be served; empty: ready. */
  missing(): readonly string[]
  connectionCount(): number
  connections(): Iterable<OpenConnection>
  /** In the order of the configuration. */
  outbound(): readonly OutboundState[]
  files(): readonly FileState[]
  /** Reads products.yaml, api-keys.yaml and the PEM files again; resolves when they are in force, or were refused. */
  reload(): Promise<void>
}

/** Who hands out our identity. */
export type IdentitySource =
  | { readonly kind: 'workload-api'; readonly address: string; readonly connected: boolean }
  | { readonly kind: 'files'; readonly certificate: string }

/** An open connection of a caller. */
export interface OpenConnection {
  readonly protocol: string
  readonly clientAddress: string
  readonly clientPort: number
  /** Milliseconds since 1970. */
  readonly openedMs: number
  /** Of the last request that was allowed on it. */
  readonly product?: string
  readonly principal?: string
}

/** One listener for calls of the workload. */
export interface OutboundState {
  /** Where the workload connects to. */
  readonly listen: string
  /** `host:port` of the peer, as configured. */
  readonly upstream: string
  /** Who the peer must be, as configured. */
  readonly expect: string
  readonly protocol: string
  /** Of the workload, open now. */
  readonly connections: number
  readonly lastFailure?: PeerFailure | undefined
}

/** How the last reading of a file went. */
export interface FileState {
  readonly name: string
  /** Milliseconds since 1970. */
  readonly atMs: number
  readonly result: 'accepted' | 'refused' | 'unchanged'
  /** What is wrong with it, each problem on a line. */
  readonly error?: string
}
