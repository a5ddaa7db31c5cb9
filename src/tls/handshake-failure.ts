/**
 * Why a TLS handshake failed, as a word of a bounded set: the reasons that OpenSSL is built with (`no_shared_cipher`,
 * `unsupported_protocol`, `http_request`; alerts of the other end as `tlsv1_alert_unknown_ca`), `timeout`, `disconnected`, else
 * `other`. Never the message, which holds addresses of memory.
 */
export function handshakeFailureOf({ code = '' }: NodeJS.ErrnoException): string {
  if (code === 'ERR_TLS_HANDSHAKE_TIMEOUT') return 'timeout'
  if (disconnections.has(code)) return 'disconnected'
  const reason = opensslReason.exec(code)?.[1]
  return reason?.toLowerCase() ?? 'other'
}

const disconnections = new Set(['ECONNRESET', 'EPIPE', 'ETIMEDOUT'])

/** How Node writes a reason of the SSL library into a code. */
const opensslReason = /^ERR_SSL_([A-Z0-9_]{1,64})$/
