import { z } from 'zod'
import { addressRulesSchema, cidrList } from './address-rules-schema.ts'
import {
  address,
  duration,
  durationOrNone,
  expectedPeer,
  filePath,
  headerName,
  hint,
  localTcpAddress,
  localTcpAddressOrNone,
  size,
  sizeOrNone,
  tcpAddress,
  trustDomain,
  workloadApiAddress,
} from './scalars.ts'

// The defaults are written as an operator would write them, and hold on a public address: everything that a stranger can
// make us keep or wait for ends.

const identitySchema = z
  .strictObject({
    workloadApi: workloadApiAddress
      .optional()
      .describe(
        'Workload API, unix:///path or tcp://IP:port. Default: SPIFFE_ENDPOINT_SOCKET, else unix:///run/spire/sockets/agent.sock.',
      ),
    hint: hint
      .optional()
      .describe('Which SVID to use when the agent hands out several. Default: the first.'),
    files: z
      .strictObject({
        certificate: filePath.describe('PEM file with our SVID, leaf first, then intermediates.'),
        key: filePath.describe(
          'PEM file with its private key, not encrypted (PKCS#8, SEC 1 or PKCS#1).',
        ),
        bundles: z
          .record(trustDomain, filePath)
          .describe('PEM file of CA certificates by the name of its trust domain.'),
      })
      .optional()
      .describe('Our identity without an agent; in place of workloadApi.'),
  })
  .prefault({})
  .describe('Where our own SVID and the bundles come from.')

const headerFields = z
  .int()
  .min(16)
  .max(1_000)
  .default(128)
  .describe(
    "Fields of a request's head, Host among them and each part of a Cookie that HTTP/2 splits, 16 to 1000; more: 431.",
  )

const limitsSchema = z
  .strictObject({
    maxConnections: z
      .int()
      .min(1)
      .max(1_000_000)
      .default(10_000)
      .describe(
        'Connections at once, 1 to 1000000; more are closed at once. An idle one takes up to 60 KiB.',
      ),
    maxConnectionsPerAddress: z
      .int()
      .min(1)
      .max(1_000_000)
      .default(1_000)
      .describe(
        'Of one address, or of one /64 of IPv6; 1 to 1000000; more are closed at once. Behind a balancer all callers have its address, unless proxyProtocol says otherwise.',
      ),
    maxHandshakes: z
      .int()
      .min(1)
      .max(100_000)
      .default(1_000)
      .describe(
        'Connections at once that have not finished their handshake, 1 to 100000; one more, and the oldest of them is closed.',
      ),
    maxHeaderBytes: size('1KiB', '1MiB')
      .prefault('16KiB')
      .describe(
        "A request's head, 1KiB to 1MiB, for which HTTP/2 counts 32 bytes more a field; larger: 431.",
      ),
    maxHeaderFields: headerFields,
    maxBodyBytes: sizeOrNone('1B', '1024GiB')
      .prefault('none')
      .describe(
        "A request's body, 1B to 1024GiB, or none: bodies stream and are never kept. Larger: 413.",
      ),
    handshakeTimeout: duration('100ms', '2m')
      .prefault('10s')
      .describe('From accept to the end of the TLS handshake, 100ms to 2m.'),
    headerTimeout: duration('100ms', '10m')
      .prefault('10s')
      .describe("From the first byte of a request's head to its last, 100ms to 10m."),
    bodyTimeout: duration('100ms', '24h')
      .prefault('1m')
      .describe(
        "A request's body of which nothing arrives for it, 100ms to 24h: 408. Streams of gRPC may be silent.",
      ),
    idleTimeout: duration('1s', '24h')
      .prefault('5m')
      .describe('A connection on which nothing moves is closed after it, 1s to 24h.'),
    upstreamConnectTimeout: duration('10ms', '1m')
      .prefault('5s')
      .describe('To connect to the workload, 10ms to 1m; later: 503.'),
    upstreamResponseTimeout: durationOrNone('10ms', '24h')
      .prefault('60s')
      .describe(
        "From the end of a request to the head of the workload's reply, 10ms to 24h, or none; later: 504.",
      ),
    maxUpstreamConnections: z
      .int()
      .min(1)
      .max(60_000)
      .default(4_096)
      .describe(
        'To one address of the workload, 1 to 60000; with HTTP/1.1 that is requests at once. More wait.',
      ),
    maxUpstreamQueue: z
      .int()
      .min(0)
      .max(10_000)
      .default(1_024)
      .describe(
        'Requests that wait in line for one address of the workload, 0 to 10000; one more: 503.',
      ),
    upstreamQueueTimeout: duration('10ms', '1m')
      .prefault('1s')
      .describe('For a request to wait there, 10ms to 1m; then: 503.'),
    maxConcurrentStreams: z
      .int()
      .min(1)
      .max(10_000)
      .default(100)
      .describe('HTTP/2 requests at once on one connection, 1 to 10000.'),
  })
  .prefault({})
  .describe('Bounds of what a stranger can make us hold or wait for.')

const inboundSchema = z
  .strictObject({
    listen: tcpAddress.prefault('0.0.0.0:8443').describe('The one port of all callers.'),
    upstream: address
      .prefault('127.0.0.1:8080')
      .describe('The workload, host:port or unix:/path; on this machine.'),
    allowRemoteUpstream: z
      .boolean()
      .default(false)
      .describe('The workload may be on another machine; requests go there in plaintext.'),
    protocol: z.enum(['http', 'tcp']).default('http').describe('http: 1.1, 2, gRPC and WebSocket.'),
    upstreamProtocol: z
      .enum(['auto', 'http1', 'h2c'])
      .default('auto')
      .describe('What the workload speaks; auto: gRPC goes h2c, the rest HTTP/1.1.'),
    plaintext: z
      .enum(['refuse', 'allow'])
      .default('refuse')
      .describe('Whether the same port also takes plaintext, for a migration.'),
    untrustedCertificate: z
      .enum(['refuse', 'ignore'])
      .default('refuse')
      .describe('ignore: a bad certificate is as if none had been presented, and is recorded.'),
    apiKeyHeader: headerName
      .prefault('x-api-key')
      .describe('The header of API keys; Authorization: ApiKey <key> is accepted as well.'),
    forwardClientCert: z
      .boolean()
      .default(false)
      .describe("Sets x-forwarded-client-cert in Envoy's format."),
    addresses: addressRulesSchema
      .optional()
      .describe('From where anybody may connect at all. Absent: from everywhere.'),
    proxyProtocol: z
      .strictObject({
        from: cidrList.describe(
          'Balancers that begin every connection with the header of PROXY protocol 1 or 2.',
        ),
      })
      .optional()
      .describe('Balancers that say for whom they connect. Absent: nobody is believed.'),
    limits: limitsSchema,
  })
  .prefault({})
  .describe('Callers to the workload.')

const outboundLimitsSchema = z
  .strictObject({
    maxConnections: z
      .int()
      .min(1)
      .max(1_000_000)
      .default(1_000)
      .describe('Connections of the workload at once, and as many to the peer, 1 to 1000000.'),
    maxHeaderBytes: size('1KiB', '1MiB')
      .prefault('16KiB')
      .describe(
        "A request's head, 1KiB to 1MiB, for which HTTP/2 counts 32 bytes more a field; larger: 431.",
      ),
    maxHeaderFields: headerFields,
    headerTimeout: duration('100ms', '10m')
      .prefault('10s')
      .describe("From the first byte of a request's head to its last, 100ms to 10m."),
    idleTimeout: duration('1s', '24h')
      .prefault('5m')
      .describe(
        'A connection of the workload on which nothing moves is closed after it, 1s to 24h.',
      ),
    upstreamConnectTimeout: duration('10ms', '1m')
      .prefault('5s')
      .describe('To connect to the peer, 10ms to 1m; later: 503.'),
    handshakeTimeout: duration('100ms', '2m')
      .prefault('10s')
      .describe('For the TLS handshake with the peer after that, 100ms to 2m; later: 504.'),
    upstreamResponseTimeout: durationOrNone('10ms', '24h')
      .prefault('60s')
      .describe("From the end of a request to the head of the peer's reply; later: 504."),
    maxConcurrentStreams: z
      .int()
      .min(1)
      .max(10_000)
      .default(100)
      .describe('HTTP/2 requests at once on one connection of the workload, 1 to 10000.'),
  })
  .prefault({})
  .describe('Bounds of what the workload and the peer can make us hold or wait for.')

const outboundSchema = z
  .array(
    z.strictObject({
      listen: localTcpAddress.describe(
        'Where the workload connects to, in plaintext; on this machine.',
      ),
      upstream: tcpAddress.describe('host:port of the other end, which sees our SVID.'),
      expect: expectedPeer.describe(
        'Who the other end must be: a SPIFFE ID, one that ends in /* or /**, or the name of a trust domain.',
      ),
      protocol: z
        .enum(['http', 'tcp'])
        .default('http')
        .describe(
          'http: 1.1, 2, gRPC and WebSocket, to the peer whichever it offers; tcp: any bytes.',
        ),
      limits: outboundLimitsSchema,
    }),
  )
  .max(1_000)
  .default([])
  .describe('Calls of the workload to others.')

/** postern.yaml. */
export const sidecarSchema = z.strictObject({
  identity: identitySchema,
  inbound: inboundSchema,
  outbound: outboundSchema,
  products: filePath
    .prefault('products.yaml')
    .describe(
      'The product map; relative to this file, from the environment to the working directory.',
    ),
  apiKeys: filePath
    .optional()
    .describe('The file of API keys, found as products is. Absent: no keys.'),
  health: z
    .strictObject({
      listen: tcpAddress.prefault('0.0.0.0:9902').describe('/livez, /readyz and /metrics.'),
    })
    .prefault({})
    .describe('For the platform.'),
  admin: z
    .strictObject({
      listen: localTcpAddressOrNone
        .prefault('127.0.0.1:9901')
        .describe(
          'Status page, /status, /decisions, explain and reload; on this machine only. none: no such port.',
        ),
    })
    .prefault({})
    .describe('For the operator.'),
  audit: z
    .strictObject({
      file: filePath.prefault('-').describe('One JSON line for each decision; - is stdout.'),
      required: z
        .boolean()
        .default(false)
        .describe(
          'While the audit log cannot be written, nothing is allowed: 503 audit_unavailable.',
        ),
    })
    .prefault({})
    .describe('The audit log.'),
  state: z
    .strictObject({
      directory: filePath
        .optional()
        .describe(
          'Where it is remembered across restarts who called and which keys were used. Absent: not at all.',
        ),
    })
    .prefault({})
    .describe('What is remembered across restarts.'),
  drain: z
    .strictObject({
      delay: duration('0s', '10m')
        .prefault('0s')
        .describe('From SIGTERM, when readiness ends, to the end of accepting, 0s to 10m.'),
      timeout: duration('0s', '1h')
        .prefault('25s')
        .describe('For what is under way to finish after that, 0s to 1h.'),
    })
    .prefault({})
    .describe('The way out.'),
})
