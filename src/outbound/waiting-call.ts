import type { PeerDecision } from '../policy/peer-decision.ts'
import type { Peer } from '../policy/peer.ts'
import type { OutgoingRequest, ReplySink } from '../proxy/ends.ts'
import { HeldRequest } from '../proxy/held-request.ts'

/** One attempt to send a request to the peer. */
export interface PeerCall {
  readonly request: OutgoingRequest
  readonly reply: ReplySink
  /** On a new connection, never a pooled one. */
  readonly fresh: boolean
  /** Before the first byte leaves, or instead of it: a deny has to be answered by whoever is told. */
  readonly onDecided: (decision: PeerDecision, peer: Peer) => void
}

/** A call that has no connection yet. */
export class WaitingCall {
  readonly call: PeerCall
  readonly held: HeldRequest

  /** `onAborted`: the workload left while it waited. */
  constructor(call: PeerCall, onAborted: (waiting: WaitingCall) => void) {
    this.call = call
    this.held = new HeldRequest(() => onAborted(this))
  }
}
