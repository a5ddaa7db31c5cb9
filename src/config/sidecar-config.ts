/** Where to listen, or where to connect to. */
export type Address =
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number }
  | { readonly kind: 'unix'; readonly path: string }

export type TcpAddress = Extract<Address, { kind: 'tcp' }>

/** The parsed postern.yaml, with every default filled in and the environment applied (DESIGN.md 4). */
export interface SidecarConfig {
  readonly identity: IdentityConfig
  readonly inbound: InboundConfig
  readonly outbound: readonly OutboundConfig[]
  /** Absolute path of products.yaml. */
  readonly products: string
  /** Absolute path of api-keys.yaml; undefined: no keys. */
  readonly apiKeys: string | undefined
  readonly health: { readonly listen: TcpAddress }
  readonly admin: { readonly listen: TcpAddress }
  /** '-': stdout; else an absolute path. */
  readonly audit: { readonly file: string }
  readonly drain: { readonly delayMs: number; readonly timeoutMs: number }
}

/** Where our own identity and the bundles come from. */
export type IdentityConfig =
  | {
      readonly kind: 'workload-api'
      /** As written: `unix:///...` or `tcp://IP:port`. */
      readonly address: string
      readonly hint: string | undefined
    }
  | {
      readonly kind: 'files'
      readonly certificate: string
      readonly key: string
      /** PEM file by the name of its trust domain. */
      readonly bundles: ReadonlyMap<string, string>
    }

export interface InboundConfig {
  readonly listen: TcpAddress
  readonly upstream: Address
  readonly protocol: 'http' | 'tcp'
  readonly upstreamProtocol: 'auto' | 'http1' | 'h2c'
  readonly plaintext: 'refuse' | 'allow'
  readonly untrustedCertificate: 'refuse' | 'ignore'
  readonly apiKeyHeader: string
  readonly forwardClientCert: boolean
  readonly limits: InboundLimits
}

/** Bounds of everything that a stranger can make us hold or wait for. */
export interface InboundLimits {
  readonly maxConnections: number
  readonly maxHeaderBytes: number
  readonly maxBodyBytes: number
  readonly handshakeTimeoutMs: number
  readonly headerTimeoutMs: number
  readonly idleTimeoutMs: number
  readonly upstreamConnectTimeoutMs: number
  readonly upstreamResponseTimeoutMs: number
  readonly maxConcurrentStreams: number
}

export interface OutboundConfig {
  readonly listen: TcpAddress
  /** `host:port` of the other end. */
  readonly upstream: TcpAddress
  /** SPIFFE ID, `/*`, `/**`, or the name of a trust domain, as written. */
  readonly expect: string
}
