import type { CertificatePath } from './certificate-path.ts'
import { Certificate } from './certificate.ts'

/** Most CA certificates that are kept. */
export const mostKeptCas = 256

/**
 * Intermediates that stood on valid paths, by encoding. Callers below the same CA share one object: OpenSSL loads
 * its key once (100 of the 250 us that a new caller costs), and a peer keeps 11 KiB instead of 18. Only what was
 * validated is kept, so that a stranger cannot push out what is in use.
 */
export class CaCache {
  readonly #byEncoding = new Map<string, Certificate>()

  /** As `Certificate.parse`, which it throws like. */
  parse(der: Uint8Array): Certificate {
    return this.#byEncoding.get(encodingOf(der)) ?? Certificate.parse(der)
  }

  /** Keeps the intermediates of a valid path; the oldest ones make room. */
  keep(path: CertificatePath): void {
    for (const ca of path.certificates.slice(1, -1)) {
      const encoding = encodingOf(ca.der)
      if (this.#byEncoding.has(encoding)) continue
      this.#byEncoding.set(encoding, ca)
      const [oldest] = this.#byEncoding.keys()
      if (this.#byEncoding.size > mostKeptCas && oldest !== undefined)
        this.#byEncoding.delete(oldest)
    }
  }
}

function encodingOf(der: Uint8Array): string {
  return Buffer.from(der.buffer, der.byteOffset, der.length).toString('latin1')
}
