/** What callers do, and what the proxy has to make of it. */
export interface Scenario {
  readonly name: string
  /** One phrase for the table. */
  readonly title: string
  /** What stands behind the proxy. */
  readonly workload: WorkloadKind
  /** What the proxy is set up for. */
  readonly mode: ProxyMode
  /** What one unit is: the figures are given for each. */
  readonly unit: 'request' | 'message' | 'connection'
  readonly load: Load
  /** Units per second for the latency; every neighbour carries more than that. */
  readonly ratePerSecond: number
}

export type WorkloadKind = 'hello' | 'echo' | 'grpc' | 'websocket' | 'tcp' | 'tls-hello'

export type ProxyMode = 'http1' | 'h2c' | 'websocket' | 'tcp' | 'outbound'

/** Who calls: by certificate, by API key, or from this machine in plaintext. */
export type Credential = 'svid' | 'key' | 'none'

export type Load =
  | {
      readonly kind: 'requests'
      readonly credential: Credential
      readonly protocol: 'http1' | 'http2'
      readonly connections: number
      /** HTTP/2 requests at once on each connection. */
      readonly streams?: number
      readonly bodyBytes?: number
      readonly path?: string
      readonly grpc?: boolean
      /** Each request on a connection of its own. */
      readonly reconnect?: boolean
    }
  | {
      readonly kind: 'messages'
      readonly transport: 'tcp' | 'websocket'
      readonly connections: number
    }

const KiB = 1024

export const scenarios: readonly Scenario[] = [
  {
    name: 'http1-svid',
    title: 'HTTP/1.1 keep-alive, client certificate',
    workload: 'hello',
    mode: 'http1',
    unit: 'request',
    load: { kind: 'requests', credential: 'svid', protocol: 'http1', connections: 32 },
    ratePerSecond: 1_000,
  },
  {
    name: 'http1-key',
    title: 'HTTP/1.1 keep-alive, API key',
    workload: 'hello',
    mode: 'http1',
    unit: 'request',
    load: { kind: 'requests', credential: 'key', protocol: 'http1', connections: 32 },
    ratePerSecond: 1_000,
  },
  ...[KiB, 64 * KiB, KiB * KiB].map((bodyBytes) => bodies(bodyBytes)),
  {
    name: 'http2-http1',
    title: 'HTTP/2 (8 x 16 streams) in, HTTP/1.1 out, client certificate',
    workload: 'hello',
    mode: 'http1',
    unit: 'request',
    load: { kind: 'requests', credential: 'svid', protocol: 'http2', connections: 8, streams: 16 },
    ratePerSecond: 1_000,
  },
  {
    name: 'grpc-unary',
    title: 'gRPC unary (8 x 16 streams) to h2c, client certificate',
    workload: 'grpc',
    mode: 'h2c',
    unit: 'request',
    load: grpc('/bench.Bench/Unary', 16),
    ratePerSecond: 1_000,
  },
  {
    name: 'grpc-stream',
    title: 'gRPC, 100 messages of 1 KB from the server (8 x 4 streams), client certificate',
    workload: 'grpc',
    mode: 'h2c',
    unit: 'request',
    load: grpc('/bench.Bench/Stream', 4),
    ratePerSecond: 100,
  },
  {
    name: 'websocket',
    title: 'WebSocket, 64 bytes there and back, client certificate',
    workload: 'websocket',
    mode: 'websocket',
    unit: 'message',
    load: { kind: 'messages', transport: 'websocket', connections: 32 },
    ratePerSecond: 1_000,
  },
  {
    name: 'tcp',
    title: 'TCP, 64 bytes there and back, client certificate',
    workload: 'tcp',
    mode: 'tcp',
    unit: 'message',
    load: { kind: 'messages', transport: 'tcp', connections: 32 },
    ratePerSecond: 1_000,
  },
  {
    name: 'connect',
    title: 'a new mTLS connection for each request',
    workload: 'hello',
    mode: 'http1',
    unit: 'connection',
    load: {
      ...{ kind: 'requests', credential: 'svid', protocol: 'http1', connections: 16 },
      reconnect: true,
    },
    ratePerSecond: 100,
  },
  {
    name: 'outbound',
    title: 'plaintext HTTP/1.1 from the workload, mTLS to the peer',
    workload: 'tls-hello',
    mode: 'outbound',
    unit: 'request',
    load: { kind: 'requests', credential: 'none', protocol: 'http1', connections: 32 },
    ratePerSecond: 1_000,
  },
]

function bodies(bodyBytes: number): Scenario {
  const size = bodyBytes < KiB * KiB ? `${bodyBytes / KiB}k` : `${bodyBytes / KiB / KiB}m`
  return {
    name: `body-${size}`,
    title: `HTTP/1.1, a body of ${size.toUpperCase()}B there and back, client certificate`,
    workload: 'echo',
    mode: 'http1',
    unit: 'request',
    load: {
      ...{ kind: 'requests', credential: 'svid', protocol: 'http1', connections: 16 },
      bodyBytes,
    },
    ratePerSecond: bodyBytes < KiB * KiB ? 500 : 20,
  }
}

function grpc(path: string, streams: number): Extract<Load, { kind: 'requests' }> {
  return {
    ...{ kind: 'requests', credential: 'svid', protocol: 'http2', connections: 8 },
    ...{ streams, path, grpc: true, bodyBytes: 5 },
  } as const
}
