import { readTextFile } from '../config/read-file.ts'
import { PosternError } from '../core/errors.ts'
import type { Certificate } from '../x509/certificate.ts'
import { parsePemCertificates } from '../x509/pem.ts'

/** The certificates of a PEM file of at most so many bytes. Throws `PosternError`, which names the file. */
export function readCertificates(file: string, maxBytes: number): readonly Certificate[] {
  return certificatesOf(readTextFile(file, maxBytes), file)
}

/** Those of a text that was read from `file`. Throws `PosternError`, which names it. */
export function certificatesOf(pem: string, file: string): readonly Certificate[] {
  try {
    return parsePemCertificates(pem)
  } catch (cause) {
    if (!(cause instanceof PosternError)) throw cause
    throw new PosternError(cause.code, `${file}: ${cause.message}`, { cause })
  }
}
