/**
 * Every code that a PosternError carries, with what it means to an operator. The README's table is checked against this list.
 */
export const errorCodes = {
  ERR_ADDRESS_INVALID: 'an address in a file, a flag or the environment does not parse',
  ERR_AUDIT_MALFORMED: 'a file that should be an audit log is none',
  ERR_ADMIN_REFUSED: 'the admin port has no answer to what was asked',
  ERR_ADMIN_UNAVAILABLE: 'the admin port of a sidecar cannot be reached',
  ERR_AUDIT_UNAVAILABLE: 'the audit log cannot be opened',
  ERR_CERTIFICATE_MALFORMED: 'bytes that should be a certificate are not one',
  ERR_CONFIG_INVALID: 'a file does not hold what it should; the message lists each place',
  ERR_CRL_MALFORMED: 'bytes that should be a certificate revocation list are not one',
  ERR_DEMO_FAILED: 'a process of the demo ended or did not get ready',
  ERR_DER_MALFORMED: 'bytes are not strict DER',
  ERR_FILE_UNREADABLE: 'a file cannot be read',
  ERR_IDENTITY_UNAVAILABLE: 'no SVID is held',
  ERR_LISTEN_FAILED: 'an address cannot be listened on',
  ERR_PEM_MALFORMED: 'bytes that should be PEM are not',
  ERR_PRIVATE_KEY_MISMATCH: 'a private key does not belong to its certificate',
  ERR_RUNTIME_UNSUPPORTED: 'this version of Node.js breaks an assumption that security rests on',
  ERR_SPIFFE_ID_INVALID: 'a text is not a SPIFFE ID',
  ERR_SVID_MALFORMED: 'an X.509-SVID breaks a rule of the standard',
  ERR_TLS_CONTEXT: 'a certificate and key cannot be put into service',
  ERR_TRUST_DOMAIN_INVALID: 'a text is not the name of a trust domain',
  ERR_WORKLOAD_API_DENIED: 'the Workload API issues no identity to this workload',
  ERR_WORKLOAD_API_ENDED: 'the Workload API refused in a way that a retry cannot mend',
  ERR_WORKLOAD_API_RESPONSE: 'a message of the Workload API breaks a rule of the standard',
  ERR_WORKLOAD_API_UNAVAILABLE:
    'the Workload API cannot be reached, fell silent or ended its stream',
} as const

export type ErrorCode = keyof typeof errorCodes

/**
 * Bad data from outside or failed I/O. A deny is no error but a `Decision`; wrong use by a programmer is a `TypeError`.
 * The message is lower case, names the thing, and never holds a secret.
 */
export class PosternError extends Error {
  override readonly name = 'PosternError'
  readonly code: ErrorCode

  constructor(code: ErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options)
    this.code = code
  }
}

/** The message of anything that was thrown; for logs and for wrapping. */
export function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown)
}

/** Where it was thrown, for the one log line of a bug. */
export function stackOf(thrown: unknown): string {
  return (thrown instanceof Error ? thrown.stack : undefined) ?? messageOf(thrown)
}
