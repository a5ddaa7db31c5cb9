import type { Timer } from '../core/clock.ts'
import { denyPeer, type PeerDecision, type PeerDenyReason } from '../policy/peer-decision.ts'
import type { Peer } from '../policy/peer.ts'
import type { TrustState } from '../policy/trust-state.ts'
import { discardedRequest, type RequestSink } from '../proxy/ends.ts'
import { LiveConnections } from '../proxy/live-connections.ts'
import type { ClientIdentity } from './client-identity.ts'
import type { OutboundContext, OutboundRoute } from './context.ts'
import { DialPause } from './dial-pause.ts'
import { JudgedPeer } from './judged-peer.ts'
import { PeerConnection } from './peer-connection.ts'
import type { DialedPeer, DialFailure, PeerDial, PeerDialer } from './peer-dialer.ts'
import { type PeerCall, WaitingCall } from './waiting-call.ts'

/** The peer must not be the one who ends a connection for our certificate: we are gone so long before. */
export const identityMarginMs = 2_000
const identityCheckMs = 1_000

/** What the peer chooses from; the first that it knows is what it should take. */
const protocols = ['h2', 'http/1.1']

/** `audit.required`: fails closed, as for callers. */
export const unrecorded = 'the audit log, which is required, cannot be written'

/** What is recorded where no peer was reached. */
export const nobody: Peer = { kind: 'anonymous' }

/**
 * Connections to one peer: HTTP/1.1 carries one request at a time, HTTP/2 many. Which of them the peer speaks is learnt by
 * ALPN; until it is known, and for HTTP/2, calls wait for one dial together instead of dialling each for itself. So they do while
 * the peer keeps failing: then there are pauses between the dials.
 *
 * A request leaves only on a connection whose peer is the expected one by the trust of that moment, and whose SVID of ours is
 * the current one.
 */
export class PeerPool {
  readonly #context: OutboundContext
  readonly #route: OutboundRoute
  readonly #dialer: PeerDialer
  readonly #live: LiveConnections
  /** All that are open. */
  readonly #connections = new Set<PeerConnection>()
  /** HTTP/1.1, the most recently used one last. */
  readonly #idle: PeerConnection[] = []
  /** HTTP/2, the oldest first. */
  readonly #shared: PeerConnection[] = []
  readonly #dials = new Set<PeerDial>()
  readonly #waiting: WaitingCall[] = []
  readonly #pause: DialPause
  /** Calls wait for the end of a pause. */
  #pauseEnd: Timer | undefined
  /** What the peer spoke last. */
  #protocol: 'http/1.1' | 'h2' | undefined
  #identity: ClientIdentity | undefined
  #expiry: Timer | undefined
  #isClosed = false

  constructor(context: OutboundContext, route: OutboundRoute, dialer: PeerDialer) {
    this.#context = context
    this.#route = route
    this.#dialer = dialer
    this.#pause = new DialPause(context.clock)
    this.#live = new LiveConnections({
      clock: context.clock,
      onJudged: (result) => context.telemetry.reevaluated(result),
    })
  }

  /** Begins a request. Its decision comes to the call, its reply to `call.reply`, both possibly before this returns. */
  open(call: PeerCall): RequestSink {
    if (!this.#context.telemetry.canRecord) {
      this.#deny(call, 'audit_unavailable', unrecorded)
      return discardedRequest
    }
    const sink = this.#identity === undefined ? undefined : this.#openOnLive(call)
    if (sink !== undefined) return sink
    if (this.#identity === undefined || this.#isClosed) {
      this.#deny(call, 'identity_unavailable', 'this sidecar holds no unexpired SVID')
      return discardedRequest
    }
    const waiting = new WaitingCall(call, (aborted) => this.#forgetCall(aborted))
    this.#waiting.push(waiting)
    this.#dialAsNeeded(this.#identity)
    return waiting.held
  }

  /** New connections present this SVID. Those that presented another one carry no new request and end when they are idle. */
  useIdentity(identity: ClientIdentity): void {
    this.#identity = identity
    this.#retire(identity)
    this.#endPause()
  }

  /** There is nothing to present: nothing is dialled until the next `useIdentity`. */
  loseIdentity(): void {
    this.#identity = undefined
    this.#retire(undefined)
    for (const dial of this.#dials) dial.cancel()
    this.#dials.clear()
    this.#denyWaiting('identity_unavailable', 'this sidecar lost its SVID')
  }

  /** The trust state changed: the peer of each connection is judged again. */
  rejudge(trust: TrustState): void {
    this.#live.rejudge(trust)
    this.#endPause()
  }

  /** Cuts everything. Idempotent. */
  close(): void {
    this.#isClosed = true
    this.loseIdentity()
    this.#expiry?.cancel()
    this.#pauseEnd?.cancel()
    this.#live.destroy()
  }

  /** On a connection that is open and may carry it. */
  #openOnLive(call: PeerCall): RequestSink | undefined {
    for (;;) {
      const connection = this.#choose(call.fresh)
      if (connection === undefined) return undefined
      const { trust, clock } = this.#context
      const { decision, peer } = connection.judge(trust.current, clock.now())
      if (decision.outcome === 'deny') {
        // The trust has changed and its turn to be judged again has not come yet.
        connection.rejudge(trust.current, clock.now())
        this.#remove(connection)
        continue
      }
      call.onDecided(decision, peer)
      const sink = connection.open(call.request, call.reply)
      if (sink !== undefined) return sink
      this.#remove(connection)
    }
  }

  #choose(fresh: boolean): PeerConnection | undefined {
    for (;;) {
      const idle = this.#takeIdle(fresh)
      if (idle === undefined) break
      if (idle.isAvailable(fresh)) return idle
      idle.destroy()
    }
    const available = this.#shared.filter((connection) => connection.isAvailable(fresh))
    return available.find((connection) => !connection.isStalled) ?? this.#lastResort(available)
  }

  /** A fresh request passes over what has carried others, and leaves it where it is. */
  #takeIdle(fresh: boolean): PeerConnection | undefined {
    if (!fresh) return this.#idle.pop()
    const at = this.#idle.findIndex((connection) => connection.isAvailable(true))
    return at === -1 ? undefined : this.#idle.splice(at, 1)[0]
  }

  /** A stalled connection is better than none, and worse than a new one. */
  #lastResort(available: readonly PeerConnection[]): PeerConnection | undefined {
    return this.#isFull ? available[0] : undefined
  }

  get #isFull(): boolean {
    return this.#connections.size + this.#dials.size >= this.#route.limits.maxConnections
  }

  #dialAsNeeded(identity: ClientIdentity): void {
    const pauseMs = this.#pause.remainingMs
    if (pauseMs > 0) {
      this.#pauseEnd ??= this.#context.clock.setTimer(pauseMs, () => this.#dialAfterPause())
      return
    }
    const isEachForItself = this.#protocol === 'http/1.1' && !this.#pause.isFailing
    const wanted = isEachForItself ? this.#waiting.length : 1
    while (this.#dials.size < Math.min(wanted, this.#waiting.length) && !this.#isFull) {
      this.#dial(identity)
    }
    if (this.#dials.size > 0) return
    this.#denyWaiting('upstream_unavailable', 'too many connections to the peer')
  }

  #dialAfterPause(): void {
    this.#pauseEnd = undefined
    if (this.#waiting.length > 0 && this.#identity !== undefined) this.#dialAsNeeded(this.#identity)
  }

  /** Something has changed on which it depends whether a dial goes well. */
  #endPause(): void {
    this.#pause.reset()
    this.#pauseEnd?.cancel()
    this.#dialAfterPause()
  }

  #dial(identity: ClientIdentity): void {
    const dial = this.#dialer.dial(identity, protocols, {
      onDialed: (dialed) => {
        this.#dials.delete(dial)
        this.#onDialed(dialed)
      },
      onFailed: (failure) => {
        this.#dials.delete(dial)
        this.#onFailed(failure)
      },
    })
    this.#dials.add(dial)
  }

  #onDialed(dialed: DialedPeer): void {
    const { trust, clock } = this.#context
    const judged = new JudgedPeer(dialed.presented, this.#route.expected)
    const { decision, peer } = judged.judge(trust.current, clock.now())
    if (decision.outcome === 'deny') {
      dialed.socket.destroy()
      this.#failWaiting(decision, peer)
      return
    }
    this.#protocol = dialed.protocol
    this.#pause.reset()
    const connection = this.#adopt(dialed, judged, decision)
    if (dialed.identity !== this.#identity) connection.drain()
    this.#serveWaiting()
  }

  #onFailed({ reason, detail }: DialFailure): void {
    const { trust } = this.#context
    const { expected } = this.#route
    this.#failWaiting(denyPeer(reason, expected, trust.current.epoch, detail), nobody)
  }

  #adopt(
    dialed: DialedPeer,
    judged: JudgedPeer,
    { reason }: Extract<PeerDecision, { outcome: 'allow' }>,
  ): PeerConnection {
    const connection: PeerConnection = new PeerConnection({
      context: this.#context,
      route: this.#route,
      dialed,
      judged,
      allowedReason: reason,
      onIdle: () => this.#onIdle(connection),
      onGone: () => this.#onGone(connection),
    })
    this.#connections.add(connection)
    this.#live.add(connection)
    if (dialed.protocol === 'h2') this.#shared.push(connection)
    else this.#idle.push(connection)
    this.#expiry ??= this.#context.clock.setTimer(identityCheckMs, this.#endExpired)
    return connection
  }

  #onIdle(connection: PeerConnection): void {
    this.#idle.push(connection)
    this.#serveWaiting()
  }

  #onGone(connection: PeerConnection): void {
    this.#remove(connection)
    this.#connections.delete(connection)
    this.#live.delete(connection)
  }

  /** From what is chosen from. */
  #remove(connection: PeerConnection): void {
    for (const list of [this.#idle, this.#shared]) {
      const at = list.indexOf(connection)
      if (at !== -1) list.splice(at, 1)
    }
  }

  /** Gives the calls that wait what has become available, in their order; those that a connection is still missing for dial. */
  #serveWaiting(): void {
    for (const waiting of [...this.#waiting]) {
      // A reply may have begun the next request, which may have taken the call that is next here.
      if (!this.#waiting.includes(waiting)) continue
      const sink = this.#takeAndOpen(waiting)
      if (sink === undefined) break
      waiting.held.attach(sink)
    }
    if (this.#waiting.length > 0 && this.#identity !== undefined) this.#dialAsNeeded(this.#identity)
  }

  #takeAndOpen(waiting: WaitingCall): RequestSink | undefined {
    this.#forgetCall(waiting)
    const sink = this.#openOnLive(waiting.call)
    if (sink === undefined) this.#waiting.unshift(waiting)
    return sink
  }

  /** Where each call dials for itself, a dial that fails is one call's; otherwise, and after a pause, all have waited for it. */
  #failWaiting(decision: PeerDecision, peer: Peer): void {
    const isOnesOwn = this.#dials.size > 0 || !this.#pause.isFailing
    this.#pause.failed()
    const count = this.#protocol === 'http/1.1' && isOnesOwn ? 1 : this.#waiting.length
    for (const { call } of this.#waiting.splice(0, count)) call.onDecided(decision, peer)
    if (this.#waiting.length > 0 && this.#identity !== undefined) this.#dialAsNeeded(this.#identity)
  }

  #denyWaiting(reason: PeerDenyReason, detail: string): void {
    for (const { call } of this.#waiting.splice(0)) this.#deny(call, reason, detail)
  }

  #deny(call: PeerCall, reason: PeerDenyReason, detail: string): void {
    const { expected } = this.#route
    const { epoch } = this.#context.trust.current
    call.onDecided(denyPeer(reason, expected, epoch, detail), nobody)
  }

  #forgetCall(waiting: WaitingCall): void {
    const at = this.#waiting.indexOf(waiting)
    if (at !== -1) this.#waiting.splice(at, 1)
  }

  #retire(current: ClientIdentity | undefined): void {
    for (const connection of [...this.#connections]) {
      if (connection.identity !== current) connection.drain()
    }
  }

  /** What presented an SVID that is about to end is cut, whatever runs on it. */
  readonly #endExpired = (): void => {
    this.#expiry = undefined
    const endMs = this.#context.clock.now() + identityMarginMs
    for (const connection of [...this.#connections]) {
      if (connection.identity.notAfterMs < endMs) connection.destroy()
    }
    if (this.#connections.size > 0) {
      this.#expiry = this.#context.clock.setTimer(identityCheckMs, this.#endExpired)
    }
  }
}
