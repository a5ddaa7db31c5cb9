import { authenticateServerDer } from '../policy/authenticate.ts'
import { decidePeer, type ExpectedPeer, type PeerDecision } from '../policy/peer-decision.ts'
import type { Peer } from '../policy/peer.ts'
import type { TrustState } from '../policy/trust-state.ts'
import type { PresentedChain } from '../tls/presented-chain.ts'

export interface PeerVerdict {
  readonly peer: Peer
  readonly decision: PeerDecision
}

/** What one connection's peer presented, judged anew whenever the trust has changed. */
export class JudgedPeer {
  readonly #presented: PresentedChain
  readonly #expected: ExpectedPeer
  #trust: TrustState | undefined
  #verdict: PeerVerdict | undefined

  constructor(presented: PresentedChain, expected: ExpectedPeer) {
    this.#presented = presented
    this.#expected = expected
  }

  judge(trust: TrustState, nowMs: number): PeerVerdict {
    const known = this.#verdict
    if (known !== undefined && trust === this.#trust && nowMs <= this.notAfterMs) return known
    const { authorities } = trust.products
    const { bundles } = trust
    const peer = authenticateServerDer(
      this.#presented.certificates,
      { bundles, authorities },
      nowMs,
    )
    const verdict = { peer, decision: decidePeer(peer, this.#expected, trust, nowMs) }
    this.#trust = trust
    this.#verdict = verdict
    return verdict
  }

  /** End of what the peer proved, milliseconds since 1970; Infinity when it proved nothing that ends. */
  get notAfterMs(): number {
    const peer = this.#verdict?.peer
    return peer?.kind === 'svid' ? peer.path.notAfterMs : Infinity
  }
}
