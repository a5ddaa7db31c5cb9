import { LRUCache } from 'lru-cache'
import { authenticateDer } from '../policy/authenticate.ts'
import type { Peer } from '../policy/peer.ts'
import type { TrustState } from '../policy/trust-state.ts'
import type { PresentedChain } from '../tls/presented-chain.ts'

const rememberedPeers = 10_000

const anonymous: Peer = { kind: 'anonymous' }

/**
 * Judges what a TLS peer presented, remembering good verdicts for as long as they can hold: within one epoch, until the
 * first certificate on the path, or a revocation list that must speak of it, ends. Bad verdicts are not remembered: they are cheap beside the handshake, and a
 * stranger must not push good ones out.
 */
export class Verdicts {
  readonly #peers = new LRUCache<string, Peer>({ max: rememberedPeers })
  #epoch = -1

  judge(chain: PresentedChain, trust: TrustState, nowMs: number): Peer {
    if (chain.certificates.length === 0) return anonymous
    if (trust.epoch !== this.#epoch) this.#startEpoch(trust.epoch)
    const known = this.#peers.get(chain.digest)
    if (known !== undefined && isCurrent(known, nowMs)) return known
    const peer = authenticateDer(
      chain.certificates,
      { bundles: trust.bundles, authorities: trust.products.authorities },
      nowMs,
    )
    if (peer.kind !== 'untrusted') this.#peers.set(chain.digest, peer)
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
