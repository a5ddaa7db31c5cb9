import type { TrustBundles } from '../spiffe/trust-bundle.ts'
import { TrustDomain } from '../spiffe/trust-domain.ts'
import { readCertificates } from './read-certificates.ts'

const maxBundleBytes = 4 * 1024 * 1024

/** Reads trust bundles from PEM files, by the name of their trust domain. Throws `PosternError`. */
export function readBundles(files: ReadonlyMap<string, string>): TrustBundles {
  return new Map(
    [...files].map(([name, file]) => [
      name,
      {
        trustDomain: TrustDomain.parse(name),
        anchors: readCertificates(file, maxBundleBytes),
      },
    ]),
  )
}
