import type { Socket } from 'node:net'
import { createSecureContext, type TlsOptions, TLSSocket, type TLSSocketOptions } from 'node:tls'

/** What the handshakes of a listener have in common until its identity changes. */
export type AcceptedTls = Readonly<TLSSocketOptions>

export interface HandshakeListeners {
  /** The handshake is done; synchronously within it. */
  readonly onSecure: (secure: TLSSocket) => void
  /** It failed in TLS. Not told of a caller that goes: the close of the TCP connection tells of that. */
  readonly onFailed: (error: NodeJS.ErrnoException) => void
}

/** Throws what OpenSSL has against certificate or key. */
export function acceptedTls(options: TlsOptions): AcceptedTls {
  const { requestCert, rejectUnauthorized, ALPNProtocols } = options
  return {
    isServer: true,
    ...(requestCert === undefined ? {} : { requestCert }),
    ...(rejectUnauthorized === undefined ? {} : { rejectUnauthorized }),
    ...(ALPNProtocols === undefined ? {} : { ALPNProtocols }),
    secureContext: createSecureContext(options),
  }
}

/**
 * Begins TLS on a connection that was accepted. `Server` of `node:tls` would do the same, and for each caller ask OpenSSL for an
 * opinion of its certificate that nobody here looks at, as an error with a stack: a twentieth of a new connection. The caller
 * bounds the time.
 *
 * Node.js documents neither `secure` nor `_tlsError`, by which its own server learns the same; `selfTest` proves both at the start.
 */
export function acceptTls(
  raw: Socket,
  tls: AcceptedTls,
  { onSecure, onFailed }: HandshakeListeners,
): void {
  const secure = new TLSSocket(raw, tls)
  let isHandshake = true
  // TLS 1.3 tells of its end once more whenever the other end asks for new keys.
  secure.once('secure', () => {
    isHandshake = false
    onSecure(secure)
  })
  // Also of a connection that was good until then: nobody else hears of that.
  secure.on('_tlsError', (error: NodeJS.ErrnoException) => {
    if (isHandshake) onFailed(error)
    isHandshake = false
    secure.destroy(error)
  })
  secure.on('error', () => secure.destroy())
}
