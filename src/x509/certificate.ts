import { PosternError } from '../core/errors.ts'

/**
 * A parsed certificate: strict DER, immutable, equal by `sha256`.
 * `parse` throws `PosternError` ERR_CERTIFICATE_MALFORMED.
 */
export class Certificate {
  readonly der: Buffer
  /** SHA-256 of the DER, lower-case hex. */
  readonly sha256: string
  /** RFC 4514 string of the subject; '' when it is empty. */
  readonly subject: string
  /** RFC 4514 string of the issuer. */
  readonly issuer: string
  /** Milliseconds since 1970. */
  readonly notBeforeMs: number
  /** Milliseconds since 1970. */
  readonly notAfterMs: number
  /** URI names of the subject alternative name, in order. */
  readonly uriNames: readonly string[]
  readonly dnsNames: readonly string[]
  readonly emailNames: readonly string[]

  private constructor(der: Buffer) {
    this.der = der
    this.sha256 = ''
    this.subject = ''
    this.issuer = ''
    this.notBeforeMs = 0
    this.notAfterMs = 0
    this.uriNames = []
    this.dnsNames = []
    this.emailNames = []
  }

  static parse(der: Uint8Array): Certificate {
    throw new PosternError('ERR_CERTIFICATE_MALFORMED', `placeholder ${der.length}`)
  }
}
