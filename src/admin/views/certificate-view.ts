import { bounded, isoTime, longestName } from '../../telemetry/record-text.ts'
import type { Certificate } from '../../x509/certificate.ts'

/** A certificate as pages and programs read it. Times are RFC 3339 in UTC. */
export interface CertificateView {
  /** RFC 4514; '' where it has none. */
  readonly subject: string
  readonly issuer: string
  /** Lower-case hex. */
  readonly serial: string
  readonly notBefore: string
  readonly notAfter: string
  /** Of its DER, lower-case hex. */
  readonly sha256: string
}

export function viewCertificate(certificate: Certificate): CertificateView {
  return {
    subject: bounded(certificate.subject, longestName),
    issuer: bounded(certificate.issuer, longestName),
    serial: certificate.serial,
    notBefore: timeText(certificate.notBeforeMs),
    notAfter: timeText(certificate.notAfterMs),
    sha256: certificate.sha256,
  }
}

/** RFC 3339 in UTC; a time that no Date holds, which a certificate may name, is ''. */
export function timeText(timeMs: number): string {
  return isoTime(timeMs) ?? ''
}
