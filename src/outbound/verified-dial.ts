import type { Timer } from '../core/clock.ts'
import { denyPeer, type PeerDecision, type PeerDenyReason } from '../policy/peer-decision.ts'
import type { Peer } from '../policy/peer.ts'
import type { ClientIdentity } from './client-identity.ts'
import type { OutboundContext, OutboundRoute } from './context.ts'
import type { DialPause } from './dial-pause.ts'
import { JudgedPeer } from './judged-peer.ts'
import type { DialedPeer, PeerDial, PeerDialer } from './peer-dialer.ts'
import { nobody, unrecorded } from './peer-pool.ts'

/** What dials for itself needs. */
export interface VerifiedDialOptions {
  readonly context: OutboundContext
  readonly route: OutboundRoute
  readonly dialer: PeerDialer
  readonly pause: DialPause
  /** Asked when the peer is dialled. Undefined: there is none to present. */
  readonly identity: () => ClientIdentity | undefined
}

/** A connection to the expected peer, which is whoever's asked for it. */
export interface VerifiedPeer {
  readonly dialed: DialedPeer
  readonly judged: JudgedPeer
  readonly peer: Peer
  readonly decision: Extract<PeerDecision, { outcome: 'allow' }>
}

/** Exactly one of the two is called, possibly at once; none after `cancel`. */
export interface VerifiedDialListener {
  readonly onAllowed: (verified: VerifiedPeer) => void
  readonly onDenied: (decision: PeerDecision, peer: Peer) => void
}

/** One dial for one connection of its own, from the pause that a failing peer is left to the decision on who it is. */
export class VerifiedDial {
  readonly #options: VerifiedDialOptions
  readonly #protocols: readonly string[]
  readonly #listener: VerifiedDialListener
  #pauseEnd: Timer | undefined
  #dial: PeerDial | undefined

  private constructor(
    options: VerifiedDialOptions,
    protocols: readonly string[],
    listener: VerifiedDialListener,
  ) {
    this.#options = options
    this.#protocols = protocols
    this.#listener = listener
  }

  /** `protocols`: what the peer is offered by ALPN; empty: nothing is. */
  static begin(
    options: VerifiedDialOptions,
    protocols: readonly string[],
    listener: VerifiedDialListener,
  ): VerifiedDial {
    const verified = new VerifiedDial(options, protocols, listener)
    const { context, pause } = options
    const pauseMs = pause.remainingMs
    if (pauseMs === 0) verified.#begin()
    else verified.#pauseEnd = context.clock.setTimer(pauseMs, () => verified.#begin())
    return verified
  }

  /** Gives it up. Returns whether it was under way. */
  cancel(): boolean {
    const isUnderWay = this.#dial !== undefined || this.#pauseEnd !== undefined
    this.#dial?.cancel()
    this.#dial = undefined
    this.#pauseEnd?.cancel()
    this.#pauseEnd = undefined
    return isUnderWay
  }

  #begin(): void {
    this.#pauseEnd = undefined
    const { context, dialer, pause } = this.#options
    const identity = this.#options.identity()
    if (identity === undefined) {
      this.#deny('identity_unavailable', 'this sidecar holds no unexpired SVID')
    } else if (!context.telemetry.canRecord) {
      this.#deny('audit_unavailable', unrecorded)
    } else {
      this.#dial = dialer.dial(identity, this.#protocols, {
        onDialed: (dialed) => this.#onDialed(dialed),
        onFailed: ({ reason, detail }) => {
          pause.failed()
          this.#deny(reason, detail)
        },
      })
    }
  }

  #onDialed(dialed: DialedPeer): void {
    this.#dial = undefined
    const { context, route, pause } = this.#options
    const judged = new JudgedPeer(dialed.presented, route.expected)
    const { decision, peer } = judged.judge(context.trust.current, context.clock.now())
    if (decision.outcome === 'allow') {
      pause.reset()
      this.#listener.onAllowed({ dialed, judged, decision, peer })
    } else {
      pause.failed()
      dialed.socket.destroy()
      this.#listener.onDenied(decision, peer)
    }
  }

  #deny(reason: PeerDenyReason, detail: string): void {
    this.#dial = undefined
    const { context, route } = this.#options
    this.#listener.onDenied(
      denyPeer(reason, route.expected, context.trust.current.epoch, detail),
      nobody,
    )
  }
}
