import type { DetailedPeerCertificate, TLSSocket } from 'node:tls'

/** What the peer presented in its handshake. */
export interface PresentedChain {
  /** DER, leaf first. Empty: nothing was presented. */
  readonly certificates: readonly Buffer[]
  /** Names exactly these certificates in this order; '' when nothing was presented. */
  readonly digest: string
}

/** More than any path that is accepted; the rest is not read. */
const mostCertificates = 10

const nothingPresented: PresentedChain = { certificates: [], digest: '' }

/**
 * Reads what the peer presented, a client or a server; call it once, synchronously in `secureConnection` or
 * `secureConnect`. Undefined: the socket is already dead.
 *
 * It looks at `raw` and never at `authorizationError`, whose code for "no certificate" also stands for other things, and
 * uses `getPeerCertificate(true)`, because `getPeerX509Certificate()` leaks and removes the intermediates it returns
 * (Node.js 20 to 26.8). With an empty `ca` the list holds what the peer sent and nothing else.
 */
export function readPresentedChain(socket: TLSSocket): PresentedChain | undefined {
  const leaf = socket.getPeerCertificate(true) as Partial<DetailedPeerCertificate> | null
  if (leaf === null) return undefined
  if (leaf.raw === undefined) return nothingPresented
  const certificates: Buffer[] = []
  const seen = new Set<string>()
  let next: Partial<DetailedPeerCertificate> | undefined = leaf
  while (next?.raw !== undefined && certificates.length < mostCertificates) {
    const fingerprint = next.fingerprint256 ?? ''
    if (seen.has(fingerprint)) break
    seen.add(fingerprint)
    certificates.push(next.raw)
    next = next.issuerCertificate
  }
  return { certificates, digest: [...seen].join() }
}
