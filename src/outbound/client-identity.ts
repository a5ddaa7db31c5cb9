import { createSecureContext, type SecureContext } from 'node:tls'
import { messageOf, PosternError } from '../core/errors.ts'
import { dialerTlsOptions, type ServerIdentity } from '../tls/context.ts'

/** The SVID that new connections to peers present. Another SVID is another object: pools tell generations apart by it. */
export interface ClientIdentity {
  readonly context: SecureContext
  /** Milliseconds since 1970. */
  readonly notAfterMs: number
}

/** Throws `PosternError` ERR_TLS_CONTEXT. */
export function clientIdentity(identity: ServerIdentity, notAfterMs: number): ClientIdentity {
  try {
    return { context: createSecureContext(dialerTlsOptions(identity)), notAfterMs }
  } catch (cause) {
    const message = `SVID not taken into service: ${messageOf(cause)}`
    throw new PosternError('ERR_TLS_CONTEXT', message, { cause })
  }
}
