import type { Socket } from 'node:net'
import type { IpAddress } from '../core/ip-address.ts'
import type { CidrSet } from '../policy/cidr-set.ts'
import { decideAddress } from '../policy/decide.ts'
import type { Decision } from '../policy/decision.ts'
import type { DecisionRecord, HandshakeResult } from '../telemetry/telemetry.ts'
import { detectFirstBytes } from '../tls/first-bytes.ts'
import { AddressCounts } from './address-counts.ts'
import { type Arrival, Arrivals } from './arrivals.ts'
import { type Client, clientAt, clientOf } from './client.ts'
import type { InboundContext } from './context.ts'
import { awaitProxyHeader } from './proxy-header.ts'

export interface ReceptionOptions {
  readonly context: InboundContext
  /** Whether what is no TLS may be HTTP. */
  readonly takesPlaintext: boolean
  /** Balancers that begin with the header of the PROXY protocol. Nobody else is believed. */
  readonly balancers?: CidrSet | undefined
  /** Of one address. */
  readonly maxConnectionsPerAddress: number
  /** Connections at once that have not shown what they are. */
  readonly maxHandshakes: number
  /** From accept until they have. */
  readonly handshakeTimeoutMs: number
  /** A TLS handshake begins, which `known` is told the end of. */
  readonly onTls: (socket: Socket) => void
  /** HTTP without TLS begins; the socket is paused. */
  readonly onPlaintext: (socket: Socket, client: Client, protocol: 'http/1.1' | 'h2') => void
}

/**
 * What happens to a connection before TLS: where it comes from, by its own address or by what a balancer of ours says; whether
 * that address may connect at all and has not too many connections; and what it begins with.
 */
export class Reception {
  readonly #options: ReceptionOptions
  readonly #arrivals: Arrivals
  readonly #counts: AddressCounts

  constructor(options: ReceptionOptions) {
    const { context, maxHandshakes, handshakeTimeoutMs, maxConnectionsPerAddress } = options
    this.#options = options
    this.#counts = new AddressCounts(maxConnectionsPerAddress)
    this.#arrivals = new Arrivals({
      clock: context.clock,
      most: maxHandshakes,
      timeoutMs: handshakeTimeoutMs,
      onEnd: (arrival, result, reason) => this.#ended(arrival, result, reason),
    })
  }

  accept(socket: Socket): void {
    const client = clientOf(socket)
    const arrival = this.#arrivals.begin(socket, client)
    if (isIn(this.#options.balancers, client.address)) this.#askBalancer(arrival)
    else this.#admit(arrival)
  }

  /**
   * A handshake is over; `reason` says why more closely than `result`. Returns what came; undefined when the connection was
   * given up already.
   */
  known(socket: Socket, result: HandshakeResult, reason?: string): Arrival | undefined {
    return this.#arrivals.end(socket, result, reason)
  }

  #ended(arrival: Arrival, result: HandshakeResult, reason: string): void {
    const { telemetry, logger } = this.#options.context
    const isSilent = arrival.socket.bytesRead <= (arrival.bytesBeforeTls ?? 0)
    // A balancer that looks whether the port is open: nobody failed.
    telemetry.handshake(result === 'failed' && isSilent ? 'silent' : result)
    if (isSilent || arrival.bytesBeforeTls === undefined || !failedInTls.has(result)) return
    const { text: clientAddress, port: clientPort } = arrival.client
    const durationMs = this.#arrivals.ageMs(arrival)
    telemetry.handshakeFailed({ result, reason, clientAddress, clientPort, durationMs })
    logger.debug('handshake failed', { address: clientAddress, result, reason })
  }

  #askBalancer(arrival: Arrival): void {
    const { logger } = this.#options.context
    awaitProxyHeader(arrival.socket, (header) => {
      if (header.kind === 'malformed') {
        const { detail } = header
        logger.warn('PROXY header refused', { balancer: arrival.client.text, detail })
        this.#turnAway(arrival, 'proxy_header_malformed')
        return
      }
      if (header.kind === 'proxied') {
        arrival.client = clientAt(header.client.address, header.client.port)
      }
      this.#admit(arrival)
    })
  }

  #admit(arrival: Arrival): void {
    const { context, takesPlaintext } = this.#options
    const { client } = arrival
    const { epoch } = context.trust.current
    const denial = decideAddress(context.settings, client.address, epoch)
    if (denial !== undefined) {
      this.#record(denial, client)
      this.#turnAway(arrival, 'address_not_allowed')
    } else if (!this.#count(arrival)) {
      this.#turnAway(arrival, 'too_many_connections_of_address')
    } else if (takesPlaintext) {
      this.#detect(arrival)
    } else {
      this.#beginTls(arrival)
    }
  }

  #count({ client, socket }: Arrival): boolean {
    const party = partyOf(client.address)
    if (!this.#counts.add(party)) return false
    socket.once('close', () => this.#counts.delete(party))
    return true
  }

  #detect(arrival: Arrival): void {
    const { onPlaintext } = this.#options
    const { socket, client } = arrival
    detectFirstBytes(socket, (kind) => {
      if (kind === 'tls') {
        this.#beginTls(arrival)
      } else if (this.known(socket, 'plaintext') !== undefined) {
        onPlaintext(socket, client, kind)
      }
    })
    socket.resume()
  }

  #beginTls(arrival: Arrival): void {
    const { socket } = arrival
    // What was looked at and given back is the first of TLS; a balancer's header was not.
    arrival.bytesBeforeTls = socket.bytesRead - socket.readableLength
    this.#options.onTls(socket)
  }

  #turnAway({ socket }: Arrival, result: HandshakeResult): void {
    this.#arrivals.end(socket, result)
    socket.destroy()
  }

  #record(decision: Decision, client: Client): void {
    const { telemetry, decisionIds, clock } = this.#options.context
    const record: DecisionRecord = {
      id: decisionIds.next(),
      atMs: clock.now(),
      direction: 'inbound',
      decision,
      peer: { kind: 'plaintext' },
      protocol: 'handshake',
      clientAddress: client.text,
      clientPort: client.port,
    }
    const trace = telemetry.begin(undefined, undefined)
    telemetry.decided(trace, record)
    telemetry.finished(trace, record, { status: 0, requestBytes: 0, replyBytes: 0, durationMs: 0 })
  }
}

/** These end handshakes that have begun, and no decision tells of them. */
const failedInTls: ReadonlySet<HandshakeResult> = new Set([
  'failed',
  'timeout',
  'resumed',
  'too_many_handshakes',
])

function isIn(set: CidrSet | undefined, address: IpAddress | undefined): boolean {
  return set !== undefined && address !== undefined && set.find(address) !== undefined
}

/** Bits of an IPv6 address that name a network; whoever has one may take any address in it (RFC 7421). */
const networkBits = 64

function partyOf(address: IpAddress | undefined): string {
  return address === undefined ? '' : address.bits.slice(0, networkBits)
}
