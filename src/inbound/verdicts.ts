import { LRUCache } from 'lru-cache'
import { authenticateDer, type CertificatePeer } from '../policy/authenticate.ts'
import type { Peer } from '../policy/peer.ts'
import type { TrustState } from '../policy/trust-state.ts'
import type { PresentedChain } from '../tls/presented-chain.ts'
import type { Certificate } from '../x509/certificate.ts'

const rememberedPeers = 10_000

const anonymous: Peer = { kind: 'anonymous' }

/** Of a chain that was good, what holds whoever is trusted: parsed once, and one object for all its connections. */
interface KnownChain {
  readonly chain: PresentedChain
  readonly leaf: Certificate
}

/**
 * Judges what a TLS peer presented, remembering good verdicts for as long as they can hold: within one epoch, until the first
 * certificate on the path, or a revocation list that must speak of it, ends. Bad verdicts are not remembered: they are cheap
 * beside the handshake, and a stranger must not push good ones out.
 */
export class Verdicts {
  readonly #peers = new LRUCache<string, Peer>({ max: rememberedPeers })
  readonly #chains = new LRUCache<string, KnownChain>({ max: rememberedPeers })
  #epoch = -1

  /** The same chain as an earlier connection has it, so that they keep it together; else the one that is given. */
  shared(chain: PresentedChain): PresentedChain {
    return this.#chains.get(chain.digest)?.chain ?? chain
  }

  judge(chain: PresentedChain, trust: TrustState, nowMs: number): Peer {
    if (chain.certificates.length === 0) return anonymous
    if (trust.epoch !== this.#epoch) this.#startEpoch(trust.epoch)
    const known = this.#peers.get(chain.digest)
    if (known !== undefined && isCurrent(known, nowMs)) return known
    const peer = this.#authenticate(chain, trust, nowMs)
    if (peer.kind !== 'untrusted') this.#peers.set(chain.digest, peer)
    return peer
  }

  #authenticate(chain: PresentedChain, trust: TrustState, nowMs: number): CertificatePeer {
    const believed = { bundles: trust.bundles, authorities: trust.products.authorities }
    const known = this.#chains.get(chain.digest)
    const peer = authenticateDer(chain.certificates, believed, nowMs, known?.leaf)
    if (known === undefined && peer.kind !== 'untrusted') {
      this.#chains.set(chain.digest, { chain, leaf: peer.path.leaf })
    }
    return peer
  }

  #startEpoch(epoch: number): void {
    this.#epoch = epoch
    this.#peers.clear()
  }
}

/** Whether the verdict still holds: both ends of validity are looked at, because the wall clock may jump either way. */
function isCurrent(peer: Peer, nowMs: number): boolean {
  if (peer.kind !== 'svid' && peer.kind !== 'certificate') return false
  return (
    nowMs <= peer.path.notAfterMs &&
    nowMs <= peer.path.revocationUntilMs &&
    peer.path.certificates.every((certificate) => certificate.notBeforeMs <= nowMs)
  )
}
