import type { Peer } from '../policy/peer.ts'

/**
 * The value of `x-forwarded-client-cert` in Envoy's format, for workloads that read it already: `By` is our own SPIFFE ID,
 * `Hash` the SHA-256 of the caller's certificate. Undefined for a caller that proved no certificate.
 */
export function forwardedClientCert(peer: Peer, ownId: string | undefined): string | undefined {
  if (peer.kind !== 'svid' && peer.kind !== 'certificate') return undefined
  const { leaf } = peer.path
  const parts = [
    ...(ownId === undefined ? [] : [`By=${ownId}`]),
    `Hash=${leaf.sha256}`,
    `Subject=${quoted(leaf.subject)}`,
    // A name in the certificate is proven only where an SVID was.
    ...(peer.kind === 'svid' ? [`URI=${peer.id.toString()}`] : []),
  ]
  return parts.join(';')
}

/** Quotes are escaped; what is not printable ASCII cannot stand in a field and becomes `?`. */
function quoted(text: string): string {
  const printable = text.replace(/[^\x20-\x7e]/g, '?')
  return `"${printable.replace(/["\\]/g, '\\$&')}"`
}
