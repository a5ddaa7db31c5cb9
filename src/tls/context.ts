import { constants } from 'node:crypto'
import type { SecureContextOptions, TlsOptions } from 'node:tls'

/** What we present: our own SVID, as PEM. */
export interface ServerIdentity {
  /** Leaf first, then intermediates. */
  readonly certificateChainPem: string
  /** PKCS#8. A secret. */
  readonly privateKeyPem: string
}

export interface ListenerTls {
  /** In the order of preference; empty: no ALPN. */
  readonly protocols: readonly string[]
  readonly handshakeTimeoutMs: number
}

/** Forward secrecy and authenticated encryption only. */
const tls12Ciphers = [
  'ECDHE-ECDSA-AES128-GCM-SHA256',
  'ECDHE-RSA-AES128-GCM-SHA256',
  'ECDHE-ECDSA-AES256-GCM-SHA384',
  'ECDHE-RSA-AES256-GCM-SHA384',
  'ECDHE-ECDSA-CHACHA20-POLY1305',
  'ECDHE-RSA-CHACHA20-POLY1305',
]
const tls13Ciphers = [
  'TLS_AES_128_GCM_SHA256',
  'TLS_AES_256_GCM_SHA384',
  'TLS_CHACHA20_POLY1305_SHA256',
]

/** What both directions ask of every connection. */
function commonTlsOptions(identity: ServerIdentity): SecureContextOptions {
  return {
    cert: identity.certificateChainPem,
    key: identity.privateKeyPem,
    ca: [],
    minVersion: 'TLSv1.2',
    maxVersion: 'TLSv1.3',
    ciphers: [...tls13Ciphers, ...tls12Ciphers].join(':'),
    ecdhCurve: 'X25519:P-256:P-384',
    secureOptions: constants.SSL_OP_NO_TICKET | constants.SSL_OP_NO_RENEGOTIATION,
  }
}

/**
 * The complete options of the context that we dial peers with. The empty `ca` keeps the root certificates of Node.js out: nobody
 * but our validator says who the peer is, and what it presented is seen as it was sent. No session is kept, so that none is
 * offered again, and an identity that was proven cannot change under a live connection.
 */
export function dialerTlsOptions(identity: ServerIdentity): SecureContextOptions {
  return commonTlsOptions(identity)
}

/**
 * The complete TLS options of a listener, of its first identity as of every later one: nothing is merged with what held before, and
 * an option left out would come back at its default (resumption, for one).
 *
 * - `rejectUnauthorized: false` and an empty `ca`: OpenSSL asks for a certificate, names no CA to strangers, and never
 *   decides. Our validator runs on whatever was presented; `socket.authorized` is not looked at anywhere.
 * - no tickets, no renegotiation: identity is proven once, in the full handshake, and cannot change under a live connection.
 */
export function listenerTlsOptions(identity: ServerIdentity, listener: ListenerTls): TlsOptions {
  return {
    ...commonTlsOptions(identity),
    requestCert: true,
    rejectUnauthorized: false,
    honorCipherOrder: true,
    sessionIdContext: 'postern',
    handshakeTimeout: listener.handshakeTimeoutMs,
    ...(listener.protocols.length === 0 ? {} : { ALPNProtocols: [...listener.protocols] }),
  }
}
